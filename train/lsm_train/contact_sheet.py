"""Contact sheet: predictions as people want to see them, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_train.data import WATER, ImageArray, Picture
from lsm_train.evaluate import predict
from lsm_train.stages import Branch

_TILE_WH = (240, 180)
_PAIRS_PER_ROW = 3
_MAX_PICTURES = 24
_FOUND, _FALSE, _MISSED = (30, 110, 255), (255, 60, 40), (255, 200, 0)  # RGB


def draw_contact_sheet(
    path: Path,
    model: LsmAdapter,
    pictures: Sequence[Picture],
    *,
    water_rule: WaterRule,
    branch: Branch = "whole",
) -> None:
    """Write, as PNG or JPEG, up to 24 pictures, evenly spread, each beside its prediction.

    Blue is water that was found, red is dry ground called water, yellow is water missed.
    """
    step = max(1, -(-len(pictures) // _MAX_PICTURES))
    tiles = []
    for picture in pictures[::step]:
        probability = water_rule.apply(predict(model, picture.image, branch).numpy())
        predicted = probability >= water_rule.threshold
        tiles += [picture.image, _painted(picture, predicted)]
    tiles = [np.asarray(cv2.resize(tile, _TILE_WH), np.uint8) for tile in tiles]
    per_row = 2 * _PAIRS_PER_ROW
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % per_row)
    rows = [np.hstack(tiles[i : i + per_row]) for i in range(0, len(tiles), per_row)]
    _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(np.vstack(rows)[..., ::-1]))
    path.write_bytes(encoded.tobytes())


def _painted(picture: Picture, predicted: np.ndarray) -> ImageArray:
    water = picture.labels == WATER
    painted = picture.image.astype(np.float32)
    for mask, colour in (
        (predicted & water, _FOUND),
        (predicted & ~water, _FALSE),
        (~predicted & water, _MISSED),
    ):
        painted[mask] = 0.4 * painted[mask] + 0.6 * np.array(colour, np.float32)
    return painted.astype(np.uint8)
