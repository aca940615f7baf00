"""What a bundle sees on rendered streets that nobody trained on.

    python benchmarks/bench_rendered.py [BUNDLE] [--figures docs/img]

Twelve random streets, dry and at three water levels. Masks are exact; the streets are ours, so
this says how sharp edges from a mast are, not how well the model does in the world. With
--figures it draws what docs/training.md shows: precision over recall of the whole model and of
its halves, and a contact sheet.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import random_style
from lsm_monitor.model.bundle import load_bundle
from lsm_train.contact_sheet import draw_contact_sheet
from lsm_train.curves import write_curve
from lsm_train.data import Picture
from lsm_train.evaluate import evaluate
from lsm_train.metrics import PrecisionRecall
from lsm_train.stages import Branch

FIRST_SEED = 500  # lsm_train.rendered draws from 10,000 up
STREETS = 12
LEVELS = (0.0, 0.3, 0.6, 1.0)


def main() -> None:
    """Print one row per level, and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", nargs="?", default="compact")
    parser.add_argument("--figures", type=Path)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    model, rule = bundle.model, bundle.manifest.water_rule
    pictures = render()
    print("| water level | IoU, all streets | dry streets with > 2 % water |\n|---|---|---|")
    for level, group in pictures.items():
        result = evaluate(model, group, water_rule=rule)
        share = result.alarm_share(0.02)
        score = "" if level == 0.0 else f" {result.counts.iou or 0.0:.2f} "
        alarms = "" if share is None else f" {round(share * STREETS)} of {STREETS} "
        print(f"| {level:g} |{score}|{alarms}|")
    if arguments.figures is not None:
        everything = [picture for group in pictures.values() for picture in group]
        branches: tuple[Branch, ...] = ("whole", "large", "small")
        curves: dict[str, PrecisionRecall] = {
            branch: evaluate(model, everything, water_rule=rule, branch=branch).curve
            for branch in branches
        }
        write_curve(arguments.figures / "precision-recall.png", curves)
        shown = [pictures[level][index] for index in range(6) for level in LEVELS]
        draw_contact_sheet(
            arguments.figures / "contact-sheet.jpg", model, shown, water_rule=rule
        )


def render() -> dict[float, list[Picture]]:
    """Return the streets by water level."""
    pictures: dict[float, list[Picture]] = {level: [] for level in LEVELS}
    for index in range(STREETS):
        scene = StreetScene(random_style(FIRST_SEED + index))
        for level, group in pictures.items():
            image, water = scene.render(level, 7.0 + 3 * index)
            name = f"street_{index}_{level:g}"
            group.append(Picture("rendered", name, image, water.astype(np.uint8)))
    return pictures


if __name__ == "__main__":
    main()
