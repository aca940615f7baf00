"""How much of the gap to full labels weak ones close: the table of docs/training.md.

    lsm-train fit config/train/adapt_source.yaml --data DIR --out runs/adapt-source
    lsm-train export runs/adapt-source --data DIR --out runs/source
    python benchmarks/bench_adapt.py --data DIR --source runs/source --out runs/adapt

The source model has never seen a street of this city. The city gives the frames of
roadway_unlabelled, forty dry streets with the verdict "no water", and labels of half the train
part of roadway_dev: none, boxes, clicks, or its masks. Judged are the other half and the val
part, which nobody has trained on, and dry pictures of three other sources (every fifth), at
threshold 0.5 without the demand for a core. Finished runs are kept in ``--out`` and not made
again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import logging
import math
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from lsm_monitor.model.bundle import Bundle, load_bundle
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_train.adapt import train, write
from lsm_train.adapt_config import AdaptRecipe
from lsm_train.city import read_city
from lsm_train.data import WATER, Picture, read_pictures, read_splits
from lsm_train.evaluate import evaluate
from lsm_train.layouts import list_images
from lsm_train.recipe_file import read_recipe

DRY_SETS = ("dry_camvid", "eval_dhaka_dry", "eval_dhaka_wet")
RECIPE = Path(__file__).parents[1] / "config" / "train" / "adapt" / "bench.yaml"
EVERY = 5  # of the dry pictures: enough to see alarms rise
CLICKS = 3
VERDICT_SETS = ("dry_lums", "dry_cctv")
VERDICTS = 20  # of each
ABOUT = {"name": "bench", "version": "0", "site": "city", "licence": "CC BY 4.0"}
Entry = dict[str, object]
Describe = Callable[[Picture, Path], Entry]

logger = logging.getLogger(__name__)


def main() -> None:
    """Make what is missing and print one row for each kind of label."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(arguments.recipe, AdaptRecipe)
    _, judged = halves(arguments.data)
    source = load_bundle(arguments.source)
    before = functools.partial(judge, source.model, arguments.data, judged)
    figures = {"before": [_cached(arguments.out / "before.json", before)]}
    for seed in arguments.seeds:
        for kind in arguments.kinds:
            run = functools.partial(
                fit_and_judge,
                source,
                kind,
                seed=seed,
                data=arguments.data,
                out=arguments.out,
                recipe=recipe,
            )
            path = arguments.out / f"{kind}-seed{seed}.json"
            figures.setdefault(kind, []).append(_cached(path, run))
    print_table(figures)


def fit_and_judge(
    source: Bundle, kind: str, *, seed: int, data: Path, out: Path, recipe: AdaptRecipe
) -> dict[str, float]:
    """Fit the source to the city's labels of one kind; return its figures."""
    labelled, judged = halves(data)
    folder = out / kind
    weak = write_city(
        folder, data, labelled, KINDS[kind], has_dry_verdicts=kind not in WITHOUT_VERDICTS
    )
    city = read_city(folder / "images", weak, guard=[], dry=[], recipe=recipe)
    started_s = time.perf_counter()
    fitted = train(source.model, city, recipe, seed=seed, device="cpu")
    elapsed_s = time.perf_counter() - started_s
    # Judged as the daemon would load it: merged, rounded.
    write(source, fitted, folder / "bundle", city, recipe, about=ABOUT, seed=seed)
    fitted = load_bundle(folder / "bundle").model
    return {**judge(fitted, data, judged), "train_s": elapsed_s}


def halves(data: Path) -> tuple[list[str], list[str]]:
    """Return the stems that the city labels, and those that judge."""
    splits = read_splits(data)
    train_part = by_chance(splits["train"]["roadway_dev"])
    middle = len(train_part) // 2
    return train_part[:middle], [*train_part[middle:], *splits["val"]["roadway_dev"]]


def by_chance(stems: Iterable[str]) -> list[str]:
    """Return the stems in an order that has nothing to do with their names, always the same."""
    return sorted(stems, key=lambda stem: hashlib.sha256(stem.encode()).digest())


def write_city(
    folder: Path,
    data: Path,
    labelled: list[str],
    describe: Describe,
    *,
    has_dry_verdicts: bool,
) -> Path:
    """Write a city's folder of pictures and its weak labels, as an operator would give them."""
    shutil.rmtree(folder, ignore_errors=True)
    images = folder / "images"
    images.mkdir(parents=True)
    for path in list_images(data / "roadway_unlabelled" / "images"):
        shutil.copyfile(path, images / path.name)
    entries = {}
    for picture in flooded(data, labelled):
        path = data / "roadway_dev" / "images" / f"{picture.name}.jpg"
        shutil.copyfile(path, images / path.name)
        entry = describe(picture, folder)
        if entry:
            entries[path.name] = entry
    for name in VERDICT_SETS if has_dry_verdicts else ():
        stems = by_chance(read_splits(data)["train"][name])[:VERDICTS]
        for path in list_images(data / name / "images", stems):
            shutil.copyfile(path, images / path.name)
            entries[path.name] = {"verdict": "no_water"}
    weak = folder / "weak.json"
    weak.write_text(json.dumps({"version": 1, "images": entries}), encoding="utf-8")
    return weak


def nothing(_picture: Picture, _folder: Path) -> Entry:
    """Say nothing."""
    return {}


def boxes(picture: Picture, _folder: Path) -> Entry:
    """Draw a box round each piece of water; pieces close to each other get one."""
    water = (picture.labels == WATER).astype(np.uint8)
    height, width = water.shape
    near = cv2.dilate(water, np.ones((15, 15), np.uint8))
    count, pieces = cv2.connectedComponents(near)
    found = []
    for piece in range(1, count):
        left, top, box_width, box_height = cv2.boundingRect(
            (water & (pieces == piece)).astype(np.uint8)
        )
        if box_width and box_height:
            found.append(
                [
                    left / width,
                    top / height,
                    (left + box_width) / width,
                    (top + box_height) / height,
                ]
            )
    return {"boxes": found}


def points(picture: Picture, _folder: Path) -> Entry:
    """Click on water and on dry ground, anywhere."""
    rng = np.random.default_rng(int(hashlib.sha256(picture.name.encode()).hexdigest()[:8], 16))
    height, width = picture.labels.shape

    def clicks(mask: np.ndarray) -> list[list[float]]:
        rows, columns = np.nonzero(mask)
        chosen = rng.choice(len(rows), min(CLICKS, len(rows)), replace=False)
        return [[(columns[i] + 0.5) / width, (rows[i] + 0.5) / height] for i in chosen]

    water = picture.labels == WATER
    return {"points": {"water": clicks(water), "dry": clicks(~water)}}


def full(picture: Picture, folder: Path) -> Entry:
    """Give the mask, right to the pixel."""
    path = folder / "masks" / f"{picture.name}.png"
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), (picture.labels == WATER).astype(np.uint8) * 255)
    return {"mask": f"masks/{picture.name}.png", "exact": True}


KINDS: dict[str, Describe] = {
    "boxes": boxes,
    "points": points,
    "full": full,
    "frames": nothing,
    "boxes_no_dry": boxes,
}
WITHOUT_VERDICTS = frozenset({"boxes_no_dry"})


def flooded(data: Path, stems: list[str]) -> Iterator[Picture]:
    """Yield pictures of roadway_dev."""
    folder = data / "roadway_dev"
    return read_pictures(folder / "images", masks=folder / "masks", stems=stems)


def judge(model: LsmAdapter, data: Path, stems: list[str]) -> dict[str, float]:
    """Return a model's figures, in percent."""
    rule = WaterRule.plain()
    counts = evaluate(model, flooded(data, stems), water_rule=rule).counts
    shares = {"iou": counts.iou, "precision": counts.precision, "recall": counts.recall}
    for name in DRY_SETS:
        images = data / name / "images"
        thinned = [path.stem for path in list_images(images)][::EVERY]
        pictures = read_pictures(images, masks=None, stems=thinned)
        shares[name] = evaluate(model, pictures, water_rule=rule).alarm_share(0.02)
    return {name: 100.0 * (share or 0.0) for name, share in shares.items()}


def print_table(figures: dict[str, list[dict[str, float]]]) -> None:
    """Print mean and standard deviation over the seeds."""
    names = ("iou", "precision", "recall", *DRY_SETS)
    # The gap to full labels, or to nothing when they were not among the kinds.
    before, best = (
        statistics.mean(run["iou"] for run in figures.get(kind, [{"iou": math.nan}]))
        for kind in ("before", "full")
    )
    print(f"| labels | {' | '.join(names)} | gap closed |\n|---|{'---|' * (len(names) + 1)}")
    for kind, runs in figures.items():
        cells = [_cell([run[name] for run in runs]) for name in names]
        closed = _cell([100.0 * (run["iou"] - before) / (best - before) for run in runs])
        print(f"| {kind} | {' | '.join(cells)} | {closed} % |")


def _cached(path: Path, make: Callable[[], dict[str, float]]) -> dict[str, float]:
    if not path.exists():
        path.write_text(json.dumps(make()) + "\n", encoding="utf-8")
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    logger.info("%s %s", path.stem, {name: round(value, 1) for name, value in found.items()})
    return found


def _cell(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
