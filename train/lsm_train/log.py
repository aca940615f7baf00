"""What a run leaves for people: one row per epoch, as a table and as a drawing."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class EpochLog:
    """One row of ``log.csv``; losses and scores of the averaged weights."""

    epoch: int
    loss: float
    elapsed_s: float
    val_iou: float
    val_precision: float
    val_recall: float
    val_alarm_share: float


def write_log(out: Path, log: Sequence[EpochLog]) -> None:
    """Write ``log.csv``."""
    with (out / "log.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(log[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in log)


def draw_curves(path: Path, log: Sequence[EpochLog]) -> None:
    """Draw loss and validation scores over the epochs."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row.epoch for row in log]
    left.plot(epochs, [row.loss for row in log])
    left.set(title="training loss", xlabel="epoch")
    for name in ("val_iou", "val_precision", "val_recall"):
        right.plot(epochs, [getattr(row, name) for row in log], label=name)
    right.set(title="validation, averaged weights", xlabel="epoch", ylim=(0.0, 1.0))
    right.legend()
    figure.savefig(path)
