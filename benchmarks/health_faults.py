"""What goes wrong with a camera, done to the pictures of health_street.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from benchmarks.health_street import (
    HEIGHT_PX,
    WIDTH_PX,
    Image,
    Moment,
    Street,
    noise_sigma,
)

# From the street and the moment of a picture to what the faulty camera's sensor sees, and the
# standard deviation of the noise that is then added.
Fault = Callable[[Street, Moment], tuple[Image, float]]


def _changed(change: Callable[[Image], Image]) -> Fault:
    return lambda street, moment: (change(street.picture(moment)), noise_sigma(moment))


def _warped(degrees: float, zoom: float, right: float, down: float) -> Fault:
    matrix = cv2.getRotationMatrix2D((WIDTH_PX / 2, HEIGHT_PX / 2), degrees, zoom)
    matrix[:, 2] += np.array((right * WIDTH_PX, down * HEIGHT_PX))

    def warp(image: Image) -> Image:
        size = (WIDTH_PX, HEIGHT_PX)
        warped = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(warped, np.uint8)

    return _changed(warp)


def _turned(by_rad: float) -> Fault:
    def turn(street: Street, moment: Moment) -> tuple[Image, float]:
        return street.picture(replace(moment, yaw_rad=by_rad)), noise_sigma(moment)

    return turn


def _blurred(sigma_fraction: float) -> Fault:
    sigma_px = sigma_fraction * WIDTH_PX
    return _changed(
        lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)
    )


def _covered(fraction: float, luma: int) -> Fault:
    def cover(image: Image) -> Image:
        covered = image.copy()
        covered[:, : round(fraction * WIDTH_PX)] = luma
        return covered

    return _changed(cover)


def _behind_a_bag(image: Image) -> Image:
    rows, columns = np.indices(image.shape[:2], np.float32)
    light = np.asarray(80 + 30 * columns / WIDTH_PX + 20 * rows / HEIGHT_PX)
    return np.repeat(light[..., None], 3, axis=2).astype(np.uint8)


def _stuck(street: Street, moment: Moment) -> tuple[Image, float]:
    return street.picture(replace(moment, number=moment.number // 100 * 100)), 0.0


def drops(seed: int) -> Fault:
    """Return rain on the lens: a quarter of the picture behind blurred discs."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    for _ in range(18):
        at = int(rng.integers(WIDTH_PX)), int(rng.integers(HEIGHT_PX))
        cv2.circle(mask, at, int(rng.integers(25, 50)), 1, -1)
    share = cv2.GaussianBlur(mask, (0, 0), 3)[..., None]

    def wet(image: Image) -> Image:
        soft = cv2.GaussianBlur(image, (0, 0), 10)
        return (image * (1 - share) + soft * share).astype(np.uint8)

    return _changed(wet)


FAULTS: dict[str, Fault] = {
    "covered by black cloth": _covered(1.0, 6),
    "covered by a grey bag": _changed(_behind_a_bag),
    "three quarters covered": _covered(0.75, 70),
    "60 % covered": _covered(0.6, 40),
    "dark, 3 % of the light": _changed(lambda image: (image * 0.03).astype(np.uint8)),
    "blurred, 0.6 % of the width": _blurred(0.00625),
    "blurred, 1 % of the width": _blurred(0.01),
    "blurred, 2 % of the width": _blurred(0.02),
    "panned by 3 degrees": _turned(0.05),
    "panned by 9 degrees": _turned(0.15),
    "panned by 23 degrees": _turned(-0.4),
    "tilted by 5 % of the height": _warped(0, 1.0, 0.0, 0.05),
    "rolled by 10 degrees": _warped(10, 1.1, 0.0, 0.0),
    "zoomed by 1.3": _warped(0, 1.3, 0.0, 0.0),
    "zoomed by 1.15": _warped(0, 1.15, 0.0, 0.0),
}
FROZEN: Fault = _stuck
