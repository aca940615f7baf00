"""Augmentation: one picture, seen by other cameras, at other hours, in other weather.

Geometry first, in one warp, so that pixels are interpolated once; then light and weather, as
they act on the scene; then the camera: lens, sensor and compression, in the order in which a
real picture meets them.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from lsm_train.data import IGNORED, ImageArray

Floats = npt.NDArray[np.float32]
Effect = Callable[[Floats, np.random.Generator], Floats]

_LEAST_CROP = 0.75
_ASPECTS = (1.0, 1.0, 4 / 3, 16 / 9)  # width / height; a square wastes no padding


def augment(
    image: ImageArray, labels: ImageArray, size_px: int, rng: np.random.Generator
) -> tuple[ImageArray, ImageArray]:
    """Return another view of the same scene.

    Args:
        image: (H, W, 3) uint8, RGB.
        labels: (H, W) uint8.
        size_px: Longer side of the result, in pixels.
        rng: The only source of chance.

    Returns:
        (h, w, 3) uint8 and (h, w) uint8 with max(h, w) = ``size_px``.
    """
    image, labels = _warp(image, labels, size_px, rng)
    return distort(image, rng), labels


def distort(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Return (H, W, 3) uint8 in other light and weather, by another camera; nothing moves."""
    pixels = image.astype(np.float32) / 255.0
    for probability, effect in _EFFECTS:
        if rng.random() < probability:
            pixels = np.clip(effect(pixels, rng), 0.0, 1.0)
    return (pixels * 255.0).astype(np.uint8)


def crop(
    image: ImageArray, labels: ImageArray, size_px: int, rng: np.random.Generator
) -> tuple[ImageArray, ImageArray]:
    """Return a mirrored or cropped view, all of it from inside the picture.

    Street cameras hang the right way up: nothing is turned over.

    Args:
        image: (H, W, 3) uint8, RGB.
        labels: (H, W) uint8.
        size_px: Longer side of the result, in pixels.
        rng: The only source of chance.
    """
    share = rng.uniform(_LEAST_CROP, 1.0)
    height, width = (max(1, round(side * share)) for side in labels.shape)
    top, left = (
        int(rng.integers(full - side + 1))
        for full, side in zip(labels.shape, (height, width), strict=True)
    )
    window = np.s_[top : top + height, left : left + width]
    scale = size_px / max(height, width)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    smooth = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    view = np.asarray(cv2.resize(image[window], size_wh, interpolation=smooth), np.uint8)
    marks = np.asarray(
        cv2.resize(labels[window], size_wh, interpolation=cv2.INTER_NEAREST), np.uint8
    )
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        view, marks = np.ascontiguousarray(view[:, ::-1]), np.ascontiguousarray(marks[:, ::-1])
    return view, marks


def _warp(
    image: ImageArray, labels: ImageArray, size_px: int, rng: np.random.Generator
) -> tuple[ImageArray, ImageArray]:
    """Crop or widen, mirror, tilt and change the perspective, in one resampling."""
    height, width = labels.shape
    aspect = _ASPECTS[rng.integers(len(_ASPECTS))]
    out_w, out_h = size_px, max(1, round(size_px / aspect))
    # The window on the picture: smaller is a zoom, larger a wide view with mirrored borders.
    window_w = min(width, height * aspect) * np.exp(rng.uniform(np.log(0.4), np.log(1.6)))
    window_h = window_w / aspect * rng.uniform(0.75, 1.33)
    centre = rng.uniform(0.25, 0.75, 2) * (width, height)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) / 2
    corners += rng.uniform(-0.07, 0.07, (4, 2))
    # A higher camera sees the far side wider in relation to the near side.
    corners[:2, 0] *= rng.uniform(0.75, 1.35)
    tilt = np.deg2rad(rng.normal(0.0, 4.0))
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    source = (corners * (window_w, window_h)) @ turn.T + centre
    target = np.array([[0, 0], [out_w, 0], [out_w, out_h], [0, out_h]], np.float32)
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        target[:, 0] = out_w - target[:, 0]
    if window_w > 1.5 * out_w:
        # Shrink first: a warp alone skips pixels, which looks like no camera's picture.
        factor = out_w / window_w
        image = np.asarray(
            cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA),
            np.uint8,
        )
        source_image = source * factor
    else:
        source_image = source
    to_image = cv2.getPerspectiveTransform(source_image.astype(np.float32), target)
    to_labels = cv2.getPerspectiveTransform(source.astype(np.float32), target)
    size_wh = (out_w, out_h)
    warped = cv2.warpPerspective(
        image, to_image, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    warped_labels = cv2.warpPerspective(
        labels, to_labels, size_wh, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
    )
    inside = cv2.warpPerspective(np.ones_like(labels), to_labels, size_wh)
    # Mirrored borders are background to look at, not something to learn from.
    warped_labels[inside == 0] = IGNORED
    return np.asarray(warped, np.uint8), np.asarray(warped_labels, np.uint8)


def _blurred(pixels: Floats, sigma_px: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma_px), np.float32)


def _shadow(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Hard or soft shadows of things outside the picture."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        corners = rng.uniform(-0.2, 1.2, (int(rng.integers(3, 6)), 2)) * (width, height)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), 1.0)
    mask = _blurred(mask, rng.uniform(0.5, 8.0))
    strength = rng.uniform(0.25, 0.7)
    tint = np.array([1.0, 0.97, 0.9], np.float32)  # shade is lit by the blue sky
    return pixels * (1.0 - mask[..., None] * strength * tint)


def _glare(pixels: Floats, rng: np.random.Generator) -> Floats:
    """A bright reflection of the sun or a lamp, stretched towards the camera."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.float32)
    centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
    axes = (int(width * rng.uniform(0.03, 0.25)), int(height * rng.uniform(0.05, 0.35)))
    cv2.ellipse(mask, centre, axes, rng.uniform(-20, 20), 0, 360, 1.0, -1)
    mask = _blurred(mask, max(axes) / 2 + 1)[..., None]
    colour = np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.6, 1.0)], np.float32)
    return pixels + mask * colour * rng.uniform(0.3, 0.9)


def _haze(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Fog or smog: stronger far away, which is mostly up in the picture."""
    ramp = np.linspace(1.0, rng.uniform(0.2, 1.0), pixels.shape[0], dtype=np.float32)
    veil = (rng.uniform(0.15, 0.55) * ramp)[:, None, None]
    veiled = pixels * (1.0 - veil) + veil * rng.uniform(0.55, 0.9)
    return np.asarray(veiled, np.float32)


def _colour(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Exposure, contrast, gamma, saturation and white balance."""
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.3, 1.6)
    pixels = pixels * rng.uniform(0.8, 1.25, 3).astype(np.float32)
    mean = float(pixels.mean())
    pixels = (pixels - mean) * rng.uniform(0.6, 1.4) + mean * rng.uniform(0.6, 1.4)
    return np.clip(pixels, 0.0, 1.0) ** rng.uniform(0.6, 1.6)


def _grey(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Infrared at night, or an old camera."""
    weights = rng.dirichlet((3.0, 3.0, 3.0)).astype(np.float32)
    return np.repeat((pixels @ weights)[..., None], 3, axis=2)


def _night(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Dark, yellow street light, noisy sensor."""
    pixels = pixels ** rng.uniform(1.3, 2.5) * rng.uniform(0.25, 0.8)
    light = np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.45, 1.0)], np.float32)
    return pixels * light + rng.normal(0.0, 0.03, pixels.shape).astype(np.float32)


def _rain(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Streaks of falling rain."""
    height, width = pixels.shape[:2]
    streaks = np.zeros((height, width), np.float32)
    slant = rng.uniform(-0.3, 0.3)
    for x, y in rng.uniform(0, 1, (int(rng.integers(50, 400)), 2)) * (width, height):
        length = rng.uniform(0.02, 0.08) * height
        end = (int(x + slant * length), int(y + length))
        cv2.line(streaks, (int(x), int(y)), end, 1.0, 1)
    streaks = _blurred(streaks, 0.7)[..., None]
    return pixels + streaks * rng.uniform(0.1, 0.4)


def _drops(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Drops or dirt on the lens: blurred, sometimes dark, discs."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(2, 14))):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(mask, centre, int(width * rng.uniform(0.01, 0.06)), 1.0, -1)
    mask = _blurred(mask, 2.0)[..., None]
    behind = _blurred(pixels, 8.0) * rng.uniform(0.5, 1.15)
    return np.asarray(pixels * (1.0 - mask) + behind * mask, np.float32)


def _blur(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Out of focus, or moved."""
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        return _blurred(pixels, rng.uniform(0.5, 2.0))
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    end = rng.integers(0, length, 2)
    cv2.line(kernel, (length // 2, length // 2), (int(end[0]), int(end[1])), 1.0)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.float32)


def _vignette(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Darker corners."""
    height, width = pixels.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    darkening = (x * x + y * y)[..., None] * rng.uniform(0.1, 0.4)
    return np.asarray(pixels * (1.0 - darkening), np.float32)


def _low_resolution(pixels: Floats, rng: np.random.Generator) -> Floats:
    """A distant scene or a small sensor, enlarged."""
    height, width = pixels.shape[:2]
    factor = rng.uniform(0.25, 0.8)
    small_wh = (max(1, int(width * factor)), max(1, int(height * factor)))
    small = cv2.resize(pixels, small_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height)), np.float32)


def _sensor_noise(pixels: Floats, rng: np.random.Generator) -> Floats:
    return pixels + rng.normal(0.0, rng.uniform(0.01, 0.06), pixels.shape).astype(np.float32)


def _compression(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Blocks and smeared colours, as of a stream with a small bit rate."""
    quality = int(rng.integers(12, 75))
    encoded = cv2.imencode(
        ".jpg", (pixels * 255.0).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32) / 255.0


# Probability and effect, in the order of application.
_EFFECTS: tuple[tuple[float, Effect], ...] = (
    (0.25, _shadow),
    (0.10, _glare),
    (0.10, _haze),
    (0.80, _colour),
    (0.12, _grey),
    (0.10, _night),
    (0.08, _rain),
    (0.06, _drops),
    (0.20, _blur),
    (0.12, _vignette),
    (0.30, _low_resolution),
    (0.20, _sensor_noise),
    (0.40, _compression),
)
