"""The ablation table of docs/training.md, from finished runs.

    for seed in 0 1 2; do for row in 6_combiner 5_style 4_semantic 3_spatial 2_he_adapt \
            1_sam_adapter no_prompt_noise prompt_box prompt_points one_stage; do
        lsm-train fit config/train/ablation/$row.yaml --data DIR --seed $seed \
            --out runs/ablation/$row-seed$seed --reuse runs/ablation/6_combiner-seed$seed
    done; done
    python benchmarks/bench_ablation.py --data DIR runs/ablation

Mean and standard deviation over the seeds, at threshold 0.5 and without the demand for a core:
the table compares models, not calibrations. (The first row takes nothing over.)
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

from lsm_monitor.model.postprocess import WaterRule
from lsm_train.checkpoint import read_run
from lsm_train.data import read_pictures, read_stems
from lsm_train.evaluate import evaluate
from lsm_train.fit import load_run
from lsm_train.stages import Branch

DRY_SETS = ("eval_dhaka_dry", "eval_dhaka_wet")
SCORES_FILE = "scores.json"
# The row "+ the small model's say" is the row of the whole paper, answering with this weight.
SAY = 0.67


def main() -> None:
    """Print one row per recipe, and the small model of the first one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    for folder in sorted(arguments.runs.glob("*-seed*")):
        row = folder.name.rpartition("-seed")[0]
        rows.setdefault(row, []).append(scores(folder, arguments.data, "whole"))
        if row == "6_combiner":
            small = scores(folder, arguments.data, "small")
            rows.setdefault("small model alone", []).append(small)
            say = scores(folder, arguments.data, "whole", small_model_say=SAY)
            rows.setdefault(f"small_model_say {SAY}", []).append(say)
    names = ("f1", "iou", *DRY_SETS)
    print(f"| recipe | seeds | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for row, runs in rows.items():
        cells = [cell([run[name] for run in runs]) for name in names]
        print(f"| {row} | {len(runs)} | {' | '.join(cells)} |")


def scores(
    folder: Path, data: Path, branch: Branch, *, small_model_say: float | None = None
) -> dict[str, float]:
    """Return a run's figures in percent; computes them once and keeps them in its folder."""
    what = branch if small_model_say is None else f"{branch}-say-{small_model_say}"
    path = folder / f"{what}-{SCORES_FILE}"
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return found
    run = read_run(folder)
    if small_model_say is not None:  # the weights do not depend on it
        parts = run.recipe.model.model_copy(update={"small_model_say": small_model_say})
        run = replace(run, recipe=run.recipe.model_copy(update={"model": parts}))
    model, _ = load_run(run)
    flooded = data / "roadway_dev"
    stems = read_stems(f"{data / 'splits_dev.json'}:val", flooded / "images")
    pictures = read_pictures(flooded / "images", masks=flooded / "masks", stems=stems)
    result = evaluate(model, pictures, water_rule=WaterRule.plain(), branch=branch)
    figures = {"f1": 100 * (result.counts.f1 or 0.0), "iou": 100 * (result.counts.iou or 0.0)}
    for name in DRY_SETS:
        pictures = read_pictures(data / name / "images", masks=None)
        result = evaluate(model, pictures, water_rule=WaterRule.plain(), branch=branch)
        figures[name] = 100 * (result.alarm_share(0.02) or 0.0)
    path.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    return figures


def cell(values: list[float]) -> str:
    """Return mean and standard deviation, to one place."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
