"""What a stage leaves for people: a CSV, TensorBoard events and a drawing of its curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

_VALIDATION = ("val_iou", "val_precision", "val_recall", "val_alarm_share")


@dataclass(frozen=True, slots=True)
class EpochLog:
    """One row of ``log.csv``; the scores are those of the averaged weights.

    ``None`` is what the validation pictures cannot tell: IoU and recall without water, the
    share of alarms without a dry picture, precision where no water was found.
    """

    epoch: int
    steps: int
    learning_rate: float
    loss: float
    elapsed_s: float
    val_iou: float | None
    val_precision: float | None
    val_recall: float | None
    val_alarm_share: float | None


class StageBoard:
    """TensorBoard's view of a stage: RUN/STAGE/tensorboard."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, row: EpochLog) -> None:
        """Show one more epoch."""
        values = asdict(row)
        for name in ("loss", "learning_rate", *_VALIDATION):
            if values[name] is not None:
                self._writer.add_scalar(name, values[name], row.steps)
        self._writer.flush()


def write_log(folder: Path, log: Sequence[EpochLog]) -> None:
    """Write ``log.csv`` and ``curves.png``."""
    with (folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(log[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in log)
    draw_curves(folder / "curves.png", log)


def draw_curves(path: Path, log: Sequence[EpochLog]) -> None:
    """Draw loss and validation scores over the epochs."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row.epoch for row in log]
    left.plot(epochs, [row.loss for row in log])
    left.set(title="training loss", xlabel="epoch")
    for name in _VALIDATION:
        right.plot(epochs, [getattr(row, name) for row in log], label=name)
    right.set(title="validation, averaged weights", xlabel="epoch", ylim=(0.0, 1.0))
    right.legend()
    figure.savefig(path)
