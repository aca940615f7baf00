"""What a small model is worth alone and inside LSM-Adapter: docs/training.md, finished runs.

    export OMP_NUM_THREADS=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8000000000
    for seed in 0 1 2; do for row in lite u2netp sinet_v2 mask_rcnn; do
        lsm-train fit config/train/ablation/table2_$row.yaml --data DIR --seed $seed \
            --out runs/table2/$row-seed$seed --reuse runs/table2/lite-seed$seed
    done; done
    python -m benchmarks.bench_small_models --data DIR runs/table2

Mean and standard deviation over the seeds, in percent, at threshold 0.5 and without the demand
for a core; the gain is taken seed by seed. The large model knows nothing of the small one
before the last stage, so the rows of a seed share it. Without the two MALLOC settings, which
keep freed memory, the kernel clears it anew in every step: a fifth of the time of U2-NetP.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.bench_ablation import DRY_SETS, cell, scores
from lsm_monitor.model.build import build_model
from lsm_train.checkpoint import read_run
from lsm_train.config import Recipe

FIGURES = ("f1", "iou", *DRY_SETS)


def main() -> None:
    """Print two rows for each small model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    folders: dict[str, list[Path]] = {}
    for folder in sorted(arguments.runs.glob("*-seed*")):
        if (folder / "contact_sheet.png").exists():  # the last that a run writes
            folders.setdefault(folder.name.rpartition("-seed")[0], []).append(folder)
    print(
        f"| small model | parameters | seeds | {' | '.join(FIGURES)} | gain of IoU |\n"
        f"|---|---|---|{'---|' * len(FIGURES)}---|"
    )
    for row, runs in folders.items():
        alone = [scores(folder, arguments.data, "small") for folder in runs]
        whole = [scores(folder, arguments.data, "whole") for folder in runs]
        gains = [w["iou"] - a["iou"] for w, a in zip(whole, alone, strict=True)]
        small, everything = parameter_counts(read_run(runs[0]).recipe)
        for name, count, found, gain in (
            (f"{row} alone", small, alone, ""),
            (f"LSM-Adapter with {row}", everything, whole, cell(gains)),
        ):
            cells = [cell([figures[key] for figures in found]) for key in FIGURES]
            print(f"| {name} | {count:,} | {len(runs)} | {' | '.join(cells)} | {gain} |")


def parameter_counts(recipe: Recipe) -> tuple[int, int]:
    """Return how many parameters the small model has, and how many the whole."""
    with torch.device("meta"):
        model = build_model(recipe.model)
    small_model = model.head.small_model
    assert small_model is not None  # noqa: S101 - so are the recipes
    return (
        sum(parameter.numel() for parameter in small_model.parameters()),
        sum(parameter.numel() for parameter in model.parameters()),
    )


if __name__ == "__main__":
    main()
