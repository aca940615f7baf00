"""What ``lsm-engines`` says to people: tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsm_engines.benchmark import Row
from lsm_monitor.commands.engine_check import Verdict

_NOT_MEASURED = "-"
_INTERVALS_S = (5, 10, 30, 60)
_USABLE_SHARE = 0.7
"""Of what the machine can do at best: cameras do not send in turn, and floods come together."""


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


def bench_lines(rows: Sequence[Row], peak_shares: Sequence[float | None]) -> Iterator[str]:
    """Yield the table of ``lsm-engines bench``."""
    cells = [("engine", "scope", "batch", "pictures/s", "p50 ms", "p99 ms", "of peak")]
    for row, share in zip(rows, peak_shares, strict=True):
        cells.append(
            (
                f"{row.backend}-{row.precision}",
                row.scope,
                str(row.batch),
                f"{row.images_per_second:.1f}",
                f"{row.latency_ms_p50:.1f}",
                f"{row.latency_ms_p99:.1f}",
                _number(share, "{:.0%}"),
            )
        )
    return _table(cells)


def cameras_line(best: Row, key_frame_s: float, cores: int) -> str:
    """Return how many cameras ``best`` can carry.

    Args:
        best: The model, from picture to mask.
        key_frame_s: CPU time of decoding a picture.
        cores: That decode; on a CPU the model needs the same ones.
    """
    decoded_per_s = cores / key_frame_s
    rate = best.images_per_second
    if best.device == "cpu":
        rate = 1.0 / (1.0 / rate + 1.0 / decoded_per_s)
    rate = min(rate, decoded_per_s)
    carried = ", ".join(
        f"{int(rate * interval_s * _USABLE_SHARE)} at {interval_s} s"
        for interval_s in _INTERVALS_S
    )
    return (
        f"cameras this machine can carry, one 1080p picture each per interval: {carried} "
        f"(decoding, {1000 * key_frame_s:.1f} ms of a core per key frame, included)"
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
