"""The table of the class-wise decoder in docs/training.md, from finished runs.

    for seed in 0 1 2; do for row in 0_binary 1_classes 2_low_frequency 3_blocks; do
        lsm-train fit config/train/ablation/classwise_$row.yaml --data DIR --seed $seed \
            --out runs/classwise/$row-seed$seed
    done; done
    python benchmarks/bench_classwise.py --data DIR runs/classwise

Mean and standard deviation over the seeds, in percent. Alarms are dry pictures of which more
than 2 % are called water: at threshold 0.5, and by the rule that ``lsm-train export`` would
calibrate; ``pixels`` is the share of all pixels of the set that is, at 0.5. Differences are
taken seed by seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_train.calibrate import calibrate
from lsm_train.checkpoint import read_run
from lsm_train.class_evaluation import ROADS, evaluate_classes
from lsm_train.data import Picture, read_pictures, read_stems
from lsm_train.evaluate import evaluate, predict
from lsm_train.fit import load_run
from lsm_train.rendered import render_validation_pictures

DRY_SETS = ("eval_dhaka_wet", "eval_dhaka_dry", "dry_camvid")
ALARM_FRACTION = 0.02
SCORES_FILE = "scores.json"
Figures = dict[str, float]


def main() -> None:
    """Print a row for each recipe, and its difference from the first one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    rows: dict[str, dict[str, Figures]] = {}
    for folder in sorted(arguments.runs.glob("*-seed*")):
        row, _, seed = folder.name.rpartition("-seed")
        rows.setdefault(row, {})[seed] = scores(folder, arguments.data)
    names = list(dict.fromkeys(n for runs in rows.values() for f in runs.values() for n in f))
    print(f"| recipe | seeds | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    first = next(iter(rows.values()))
    for row, runs in rows.items():
        cells = [
            _cell([found[name] for found in runs.values() if name in found]) for name in names
        ]
        print(f"| {row} | {len(runs)} | {' | '.join(cells)} |")
    for row, runs in rows.items():
        cells = [_cell(_differences(runs, first, name)) for name in names]
        print(f"| {row}, difference | {len(runs)} | {' | '.join(cells)} |")


def scores(folder: Path, data: Path) -> Figures:
    """Return a run's figures in percent; computes them once and keeps them in its folder."""
    path = folder / SCORES_FILE
    if path.exists():
        found: Figures = json.loads(path.read_text(encoding="utf-8"))
        return found
    run = read_run(folder)
    model, _ = load_run(run)
    assert run.recipe.rendered is not None  # noqa: S101 - so are the recipes
    rendered = render_validation_pictures(run.recipe.rendered)
    floods, dry = (_pictures(data, name, "val") for name in ("roadway_dev", "dry_cctv"))
    calibrated = calibrate(model, [*floods, *dry, *rendered])
    plain = WaterRule.plain()
    flooded = evaluate(model, floods, water_rule=plain)
    figures = {"val iou": 100 * (flooded.counts.iou or 0.0)}
    for name in DRY_SETS:
        shares = water_shares(model, _pictures(data, name), (plain, calibrated))
        figures |= {
            f"{name} alarms": 100 * float((shares[0] > ALARM_FRACTION).mean()),
            f"{name} alarms, rule": 100 * float((shares[1] > ALARM_FRACTION).mean()),
            f"{name} pixels": 100 * float(shares[0].mean()),
        }
    if model.head.classwise is not None:
        figures |= class_figures(model, _pictures(data, "dry_camvid"), rendered)
    path.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    return figures


def water_shares(
    model: LsmAdapter, pictures: Iterable[Picture], rules: Sequence[WaterRule]
) -> npt.NDArray[np.float64]:
    """Return (rules, pictures): the share of each picture that each rule calls water."""
    shares = []
    for picture in pictures:
        probability = predict(model, picture.image).numpy()
        shares.append([(r.apply(probability) >= r.threshold).mean() for r in rules])
    return np.array(shares, np.float64).T


def class_figures(
    model: LsmAdapter, roads: Iterable[Picture], rendered: Iterable[Picture]
) -> Figures:
    """Return what a model of water alone cannot be asked."""
    photographed = evaluate_classes(model, roads, water_rule=WaterRule.plain())
    drawn = evaluate_classes(model, rendered, water_rule=WaterRule.plain())
    figures = {"dry_camvid road iou": 100 * (photographed.counts[ROADS].iou or 0.0)}
    for name in drawn.counts:
        figures[f"rendered {name} iou"] = 100 * (drawn.counts[name].iou or 0.0)
    figures["rendered road share, error"] = 100 * (drawn.road_share_error or 0.0)
    return figures


def _pictures(data: Path, name: str, part: str | None = None) -> list[Picture]:
    images = data / name / "images"
    stems = None if part is None else read_stems(f"{data / 'splits_dev.json'}:{part}", images)
    return list(read_pictures(data / name, masks=None, stems=stems, dataset=name))


def _differences(
    runs: Mapping[str, Figures], first: Mapping[str, Figures], name: str
) -> list[float]:
    return [
        found[name] - first[seed][name]
        for seed, found in runs.items()
        if name in found and name in first.get(seed, {})
    ]


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
