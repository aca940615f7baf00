"""What ``lsm-engines`` says to people: tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsm_engines.machine import usable_cores
from lsm_monitor.commands.engine_bench import Bench
from lsm_monitor.commands.engine_check import Verdict
from lsm_monitor.inference.capacity import INTERVALS_S, cameras_carried

_NOT_MEASURED = "-"


def verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the table of ``lsm-engines check``."""
    cells = [("engine", "embedding", "logits", "IoU", "worst", "verdict")]
    for each in verdicts:
        name = each.backend if each.precision is None else f"{each.backend}-{each.precision}"
        cells.append(
            (
                name,
                _errors(each.embedding_error, each.embedding_error_max),
                _errors(each.logits_error, each.logits_error_max),
                _number(each.iou, "{:.4f}"),
                _number(each.iou_worst, "{:.4f}"),
                each.fault or "ok",
            )
        )
    return _table(cells)


def bench_lines(bench: Bench) -> Iterator[str]:
    """Yield the table of ``lsm-engines bench``."""
    cells = [
        ("engine", "scope", "batch", "pictures/s", "first ms", "p50 ms", "p99 ms", "of peak")
    ]
    for row, share in zip(bench.rows, bench.peak_shares, strict=True):
        cells.append(
            (
                f"{row.backend}-{row.precision}",
                row.scope,
                str(row.batch),
                f"{row.images_per_second:.1f}",
                f"{row.warm_up_ms:.0f}",
                f"{row.latency_ms_p50:.1f}",
                f"{row.latency_ms_p99:.1f}",
                f"{share:.0%}",
            )
        )
    return _table(cells)


def cameras_line(bench: Bench) -> str:
    """Return how many cameras the fastest engine can carry."""
    name, rate = next(iter(bench.best.items()))
    cores = usable_cores()
    carried = ", ".join(
        f"{cameras_carried(rate, interval_s, cores=cores)} at {interval_s} s"
        for interval_s in INTERVALS_S
    )
    return (
        f"cameras this machine can carry with {name}, one 1080p picture each per interval: "
        f"{carried} (decoding, {1000 * bench.key_frame_s:.1f} ms of a core per key frame, "
        "and the connections included)"
    )


def _errors(mean: float | None, worst: float | None) -> str:
    return f"{_number(mean, '{:.1e}')} / {_number(worst, '{:.1e}')}"


def _number(value: float | None, form: str) -> str:
    return _NOT_MEASURED if value is None else form.format(value)


def _table(cells: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()
