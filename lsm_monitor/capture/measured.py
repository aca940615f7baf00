"""What a capture process measures, on its way into the daemon's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import Counter, Gauge

from lsm_monitor.metrics import Metrics

Measured = tuple[str, tuple[str, ...], float]
_MEASURED_HERE = ("frames", "packets_skipped", "reconnects", "keyframe_interval_s")


def adopt_measured(metrics: Metrics, measured: Iterable[Measured]) -> None:
    """Put into ``metrics`` what a capture process has measured; see :class:`wire.Beat`."""
    for name, labels, value in measured:
        metric = getattr(metrics, name)
        labelled = metric.labels(*labels) if labels else metric
        if isinstance(metric, Counter):
            labelled.inc(value)
        else:
            labelled.set(value)


def measured_of(metrics: Metrics) -> Iterator[tuple[str, tuple[str, ...], float, bool]]:
    """Yield what a capture process measures: name, labels, value, whether it is counted.

    The first label is the camera.
    """
    for name in _MEASURED_HERE:
        metric: Counter | Gauge = getattr(metrics, name)
        for family in metric.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    labels = tuple(sample.labels.values())
                    yield name, labels, sample.value, isinstance(metric, Counter)
