"""What a source of pictures is worth to a city that has sent none: docs/training.md.

    python -m benchmarks.bench_leave_one_out --data DIR runs/leave-one-out --seeds 0 1 2

Trains the whole LSM-Adapter without one source after the other, and once with everything, and
judges each run on all of them, at threshold 0.5 without the demand for a core. In bold: what
the run has never seen. Alarms are dry pictures of which more than 2 % are called water. The
row with everything has trained on most of these pictures; on ``roadway: IoU, val``, on the
rendered streets and on the sets that nobody trains on it has not.

Call it again to go on: a run that has been judged is not trained again. ``--rows`` and
``--seeds`` choose some of the runs, and the table shows these.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks.bench_ablation import cell
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_train.checkpoint import read_run
from lsm_train.config import RENDERED, Recipe, RenderedSection
from lsm_train.data import Picture, read_pictures, read_stems
from lsm_train.evaluate import evaluate
from lsm_train.fit import fit, load_run
from lsm_train.recipe_file import load_recipe
from lsm_train.rendered import render_validation_pictures

RECIPE = Path(__file__).parents[1] / "config" / "train" / "ablation" / "6_combiner.yaml"
SCORES_FILE = "leave_one_out.json"
ALARM_FRACTION = 0.02
EVERYTHING = "everything"
FLOODS = "roadway"
# Pictures from one hand or one camera belong to one source.
SOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        FLOODS: ("roadway_dev", "roadway_unlabelled"),
        "dry_lums": ("dry_lums",),
        "dry_cctv": ("dry_cctv",),
        "highways": ("neg_brazil_highway", "neg_udacity_highway"),
        RENDERED: (RENDERED,),
    }
)
DRY_SOURCES = ("dry_lums", "dry_cctv", "highways")
NEVER_TRAINED = ("dry_camvid", "eval_dhaka_dry", "eval_dhaka_wet")
Figures = dict[str, float]


def main() -> None:
    """Train what is missing and print a row for each run, the mean over its seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    names = (EVERYTHING, *SOURCES)
    parser.add_argument("--rows", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = load_recipe(arguments.recipe)
    rows = {
        row: [
            figures_of(recipe, row, seed, data=arguments.data, runs=arguments.runs)
            for seed in arguments.seeds
        ]
        for row in arguments.rows
    }
    print_table(rows)


def figures_of(recipe: Recipe, row: str, seed: int, *, data: Path, runs: Path) -> Figures:
    """Return the figures of a run in percent; trains and judges it once.

    Args:
        recipe: With everything.
        row: ``EVERYTHING``, or the key of ``SOURCES`` that is left out.
        seed: Of the training.
        data: Folder of data sets.
        runs: Gets a folder for each run.
    """
    folder = runs / f"{row}-seed{seed}"
    path = folder / SCORES_FILE
    if path.exists():
        found: Figures = json.loads(path.read_text(encoding="utf-8"))
        return found
    trained = recipe if row == EVERYTHING else without(recipe, SOURCES[row])
    fit(trained, data=data, out=folder, seed=seed)
    model, _ = load_run(read_run(folder))
    figures = judge(model, data, recipe.rendered)
    path.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    return figures


def without(recipe: Recipe, held_out: Collection[str]) -> Recipe:
    """Return a recipe that names none of the data sets ``held_out``, for whatever purpose.

    What has several data sets or donors keeps its share with those that remain. What has none
    left is dropped, and its share goes to all others alike. Without the only flooded val set
    every epoch scores 0, and the last one counts.

    Raises:
        ValueError: The recipe cannot do without them.
    """
    content = recipe.model_dump(mode="json")

    def kept(names: Collection[str]) -> list[str]:
        return [name for name in names if name not in held_out]

    sources = []
    for source in content["sources"]:
        datasets, donors = kept(source["datasets"]), kept(source["donors"])
        if datasets and bool(donors) == bool(source["donors"]):
            sources.append(source | {"datasets": datasets, "donors": donors})
    labels_itself = recipe.self_training is not None
    if labels_itself and content["self_training"]["dataset"] in held_out:
        content["self_training"] = None
    if RENDERED in held_out:
        content[RENDERED] = None
    content |= {
        "sources": sources,
        "validation": kept(content["validation"]),
        "licences": {name: content["licences"][name] for name in kept(content["licences"])},
    }
    return Recipe.model_validate(content)


def judge(model: LsmAdapter, data: Path, rendered: RenderedSection | None) -> Figures:
    """Return what a model finds in every source, in percent, keyed ``SOURCE: MEASURE``."""
    floods = _pictures(data, "roadway_dev")
    val = read_stems(f"{data / 'splits_dev.json'}:val", data / "roadway_dev" / "images")
    figures = {
        f"{FLOODS}: IoU, val": _iou(model, [one for one in floods if one.name in val]),
        f"{FLOODS}: IoU": _iou(model, floods),
    }
    for source in DRY_SOURCES:
        dry = [picture for name in SOURCES[source] for picture in _pictures(data, name)]
        figures[f"{source}: alarms"] = _alarms(model, dry)
    if rendered is not None and rendered.validation_streets:
        streets = render_validation_pictures(rendered)
        figures[f"{RENDERED}: IoU"] = _iou(model, streets)
        figures[f"{RENDERED}: alarms"] = _alarms(model, streets)
    for name in NEVER_TRAINED:
        figures[f"{name}: alarms"] = _alarms(model, _pictures(data, name))
    return figures


def print_table(rows: Mapping[str, list[Figures]]) -> None:
    """Print the rows with the figures of the source that each has not seen in bold."""
    columns = list(next(iter(rows.values()))[0])
    print(f"| trained on | seeds | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for row, runs in rows.items():
        cells = [
            f"**{cell([run[column] for run in runs])}**"
            if column.startswith(f"{row}: ")
            else cell([run[column] for run in runs])
            for column in columns
        ]
        name = row if row == EVERYTHING else f"all but {row}"
        print(f"| {name} | {len(runs)} | {' | '.join(cells)} |")


def _pictures(data: Path, name: str) -> list[Picture]:
    """Return all pictures of a data set with its masks, which dry ones may lack."""
    return list(read_pictures(data / name, masks=None, dataset=name))


def _iou(model: LsmAdapter, pictures: Collection[Picture]) -> float:
    result = evaluate(model, pictures, water_rule=WaterRule.plain())
    return 100 * (result.counts.iou or 0.0)


def _alarms(model: LsmAdapter, pictures: Collection[Picture]) -> float:
    result = evaluate(model, pictures, water_rule=WaterRule.plain())
    return 100 * (result.alarm_share(ALARM_FRACTION) or 0.0)


if __name__ == "__main__":
    main()
