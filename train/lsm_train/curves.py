"""Precision-recall curves for people (PNG) and programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from lsm_train.metrics import PrecisionRecall


def write_curve(path: Path, curves: Mapping[str, PrecisionRecall]) -> None:
    """Write ``path`` as PNG and the numbers beside it as ``.json``.

    Args:
        path: Of the PNG.
        curves: By the name in the legend.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    numbers = {}
    for name, curve in curves.items():
        average = curve.average_precision
        label = name if average is None else f"{name}, AP {average:.3f}"
        axes.plot(curve.recall, curve.precision, label=label)
        numbers[name] = {
            "average_precision": average,
            "threshold": curve.thresholds.round(4).tolist(),
            "precision": curve.precision.round(4).tolist(),
            "recall": curve.recall.round(4).tolist(),
        }
    axes.set(xlabel="recall", ylabel="precision", xlim=(0.0, 1.0), ylim=(0.0, 1.02))
    axes.legend(loc="lower left")
    figure.savefig(path)
    text = json.dumps(numbers) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")
