"""Training pictures that nobody took: dried floods, flooded roads, wet but dry roads.

With few flooded pictures and few dry streets, a network learns "a street scene's lower half is
water" or "this camera's colours are dry". Exchanging surfaces between the two worlds leaves
the surface itself as the only cue: its texture, its reflections, its edge. Both directions
leave the same kind of seam, so the seam is no cue either.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from lsm_train.data import DRY, WATER, ImageArray, Picture
from lsm_train.surfaces import DRY_ROAD, WET_ROAD, with_known

Mask = npt.NDArray[np.bool_]
_TRIES = 20
_INVENTED_SHARE = 0.35
_MIN_DONOR_SHARE = 0.97
_FILM_SHARE = 0.35


def dried(picture: Picture, asphalt: Picture, rng: np.random.Generator) -> Picture:
    """Return ``picture`` with dry ground over all or part of its water.

    The ground is cut from ``asphalt``, a picture of a dry road, or made up: few roads have
    been photographed for us, and cities are paved in more ways than they show.
    """
    water = picture.labels == WATER
    covered = water if rng.random() < 0.5 else water & _patches(water.shape, rng)  # noqa: PLR2004
    if not covered.any():
        return picture
    box = _bounds(covered)
    invented = rng.random() < _INVENTED_SHARE
    ground = _invent_ground(rng) if invented else _crop_road(asphalt, rng)
    texture = _fit(ground, box, rng).astype(np.float32)
    # Asphalt is grey, whatever the white balance of the camera it was borrowed from.
    grey = texture.mean(axis=2, keepdims=True)
    texture = grey + (texture - grey) * rng.uniform(0.0, 0.6)
    below = picture.image[box][covered[box]].mean(axis=0)
    colour = rng.uniform(0.0, 0.8)  # brown mud dries to brown ground
    tint = below * colour + below.mean() * (1 - colour)
    brightness = rng.uniform(0.45, 1.15) * tint / max(float(grey.mean()), 1.0)
    ground = texture * brightness
    is_wet = rng.random() < _FILM_SHARE
    if is_wet:
        # A thin film: the real reflections, smeared, shine through the grain of the ground.
        smear_px = max(1, int((box[0].stop - box[0].start) * rng.uniform(0.05, 0.4)))
        mirror = cv2.blur(picture.image[box].astype(np.float32), (1, smear_px))
        grain = ground - cv2.GaussianBlur(ground, (0, 0), 2.0)
        opacity = rng.uniform(0.35, 0.75)
        ground = ground * opacity + mirror * (1.0 - opacity) + grain * rng.uniform(0.3, 1.5)
    image = _lay_over(picture.image, ground, covered, box, rng)
    labels = np.where(covered, DRY, picture.labels).astype(np.uint8)
    surface = with_known(picture.surface, covered, WET_ROAD if is_wet else DRY_ROAD)
    return Picture(picture.dataset, picture.name, image, labels, covered, surface)


def flooded(picture: Picture, donor: Picture, rng: np.random.Generator) -> Picture:
    """Return dry ``picture`` with the water of ``donor`` over all or part of its road."""
    road = picture.road if picture.road is not None else _likely_road(picture)
    covered = road if rng.random() < 0.3 else road & _patches(road.shape, rng)  # noqa: PLR2004
    texture = _crop_water(donor, rng)
    if texture is None or not covered.any():
        return picture
    box = _bounds(covered)
    water = _fit(texture, box, rng).astype(np.float32) * rng.uniform(0.6, 1.2)
    image = _lay_over(picture.image, water, covered, box, rng)
    labels = np.where(covered, WATER, picture.labels).astype(np.uint8)
    return Picture(picture.dataset, picture.name, image, labels, surface=picture.surface)


def wet(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return dry ``picture`` after rain: dark, shiny, streaked, but without standing water.

    Three things tell a wet road from a flooded one, and all three stay visible here. The
    asphalt's grains tilt the mirror, so it shows long vertical smears and glints instead of
    an image; the mirror grows stronger with distance (Fresnel), not with depth; and the
    surface keeps its grain, marks and edges, because the film of water is thinner than they
    are high.
    """
    road = picture.road if picture.road is not None else _likely_road(picture)
    if not road.any():
        return picture
    height, width = road.shape
    horizon = int(np.argmax(road.any(axis=1)))
    ground = picture.image.astype(np.float32)
    soft_road = cv2.GaussianBlur(road.astype(np.float32), (0, 0), rng.uniform(1.0, 3.0))
    grain = ground - cv2.GaussianBlur(ground, (0, 0), rng.uniform(1.0, 3.0))
    distance = np.clip(1.0 - (np.arange(height) - horizon) / max(height - horizon, 1), 0.0, 1.0)
    near, far = rng.uniform(0.0, 0.7), rng.uniform(0.4, 1.0)
    fresnel = (near + (far - near) * distance ** rng.uniform(0.7, 3.0)).astype(np.float32)
    film = _tracks(road.shape, horizon, rng) * (0.4 + 0.6 * _noise(road.shape, rng))
    alpha = np.clip(soft_road * fresnel[:, None] * film, 0.0, 1.0)[..., None]
    mirror = _smeared_mirror(picture.image, horizon, rng)
    glint = rng.normal(0.0, rng.uniform(0.0, 25.0), (height, width, 1)).astype(np.float32)
    darkening = 1.0 - soft_road[..., None] * rng.uniform(0.1, 0.65)
    image = ground * darkening * (1 - alpha) + (mirror + glint) * alpha
    image += grain * rng.uniform(0.2, 1.3) * alpha
    surface = with_known(picture.surface, road, WET_ROAD)
    return replace(picture, image=_to_uint8(image), surface=surface)


def _smeared_mirror(
    image: ImageArray, horizon: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return (H, W, 3): below the horizon what stands above it, upside down and smeared."""
    height, width = image.shape[:2]
    below = height - horizon
    scene = image[: max(horizon, 2)][::-1]
    above = cv2.resize(scene, (width, max(int(below * rng.uniform(0.8, 2.0)), 2)))[:below]
    above = cv2.resize(above, (width, max(below, 1)))
    across_px = max(1, int(width * rng.uniform(0.0, 0.04)))
    along_px = max(3, int(height * rng.uniform(0.03, 0.5)))
    mirror = image.astype(np.float32)
    mirror[horizon:] = cv2.blur(above, (across_px, along_px))
    sky = float(rng.uniform(0.0, 0.7))  # a grey sky fills most of a wet road's mirror
    veiled = mirror * (1.0 - sky) + sky * float(rng.uniform(110.0, 250.0))
    return np.asarray(veiled, np.float32)


def _tracks(
    shape: tuple[int, ...], horizon: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return (H, W) in [0, 1]: stripes that run to a vanishing point, as wheels leave them."""
    height, width = shape[:2]
    vanishing = (rng.uniform(0.2, 0.8) * width, horizon - rng.uniform(0.0, 0.1) * height)
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    slope = (columns - vanishing[0]) / np.maximum(rows - vanishing[1], 4.0)
    stripes = 0.5 + 0.5 * np.sin(slope * rng.uniform(2.0, 25.0) + rng.uniform(0.0, 6.3))
    return np.asarray(1.0 - rng.uniform(0.0, 0.8) * stripes, np.float32)


def _likely_road(picture: Picture) -> Mask:
    """Return a trapezium in the lower middle, where a vehicle's or a mast's camera has road."""
    height, width = picture.labels.shape
    corners = np.array([[0.4, 0.58], [0.6, 0.58], [0.9, 1.0], [0.1, 1.0]]) * (width, height)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, corners.astype(np.int32), 1)
    return mask > 0


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return (H, W) float32 in [0, 1]: smooth, wider than high, as a ground seen flat."""
    height, width = shape[:2]
    grid = rng.random((int(rng.integers(4, 10)), int(rng.integers(2, 6)))).astype(np.float32)
    noise = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise, 0.0, 1.0)


def _patches(shape: tuple[int, ...], rng: np.random.Generator) -> Mask:
    noise = _noise(shape, rng)
    return np.asarray(noise > np.quantile(noise[::8, ::8], rng.uniform(0.25, 0.75)))


def _bounds(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _fit(texture: ImageArray, box: tuple[slice, slice], rng: np.random.Generator) -> ImageArray:
    """Return ``texture`` stretched to the box, mirrored in half of the cases."""
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        texture = texture[:, ::-1]
    size_wh = (box[1].stop - box[1].start, box[0].stop - box[0].start)
    return np.asarray(cv2.resize(np.ascontiguousarray(texture), size_wh), np.uint8)


def _crop_road(picture: Picture, rng: np.random.Generator) -> ImageArray:
    """Return a rectangle that is mostly road."""
    height, width = picture.labels.shape
    road = picture.road if picture.road is not None else _likely_road(picture)
    rows = np.flatnonzero(road.sum(axis=1) > 0.3 * width)
    if rows.size < 16:  # noqa: PLR2004 - too thin to be a texture
        rows = np.arange(int(0.6 * height), height)
    first = int(rng.integers(rows[0], rows[0] + max(1, rows.size // 2)))
    last = int(rng.integers(min(first + rows.size // 3, rows[-1]), rows[-1] + 1)) + 1
    columns = np.flatnonzero(road[first]) if road[first].any() else np.arange(width)
    left, right = int(columns[0]), int(columns[-1]) + 1
    return picture.image[first:last, left:right]


def _invent_ground(rng: np.random.Generator) -> ImageArray:
    """Return (256, 256, 3) grainy, blotchy ground with a few joints or lane marks."""
    side = 256
    texture = np.full((side, side), rng.uniform(60.0, 180.0), np.float32)
    for cells in (4, 16, 64, 256):
        noise = rng.normal(0.0, rng.uniform(0.0, 12.0), (cells, cells)).astype(np.float32)
        texture += cv2.resize(noise, (side, side), interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(0, 6))):
        start, end = rng.integers(0, side, (2, 2))
        shade = float(texture.mean() + rng.uniform(-50.0, 70.0))
        width = int(rng.integers(1, 6))
        cv2.line(texture, start.tolist(), end.tolist(), shade, width)
    return _to_uint8(np.repeat(texture[..., None], 3, axis=2))


def _crop_water(donor: Picture, rng: np.random.Generator) -> ImageArray | None:
    """Return a rectangle that is nearly all water, or ``None`` when luck finds none."""
    water = donor.labels == WATER
    height, width = water.shape
    for _ in range(_TRIES):
        crop_h = int(height * rng.uniform(0.12, 0.5))
        crop_w = int(width * rng.uniform(0.2, 0.9))
        top = int(rng.integers(0, height - crop_h))
        left = int(rng.integers(0, width - crop_w))
        window = np.s_[top : top + crop_h, left : left + crop_w]
        if water[window].mean() >= _MIN_DONOR_SHARE:
            return donor.image[window]
    return None


def _lay_over(
    image: ImageArray,
    texture: npt.NDArray[np.float32],
    covered: Mask,
    box: tuple[slice, slice],
    rng: np.random.Generator,
) -> ImageArray:
    """Return ``image`` with ``texture`` where ``covered``, with an edge of random softness."""
    alpha = cv2.GaussianBlur(covered.astype(np.float32), (0, 0), rng.uniform(0.6, 3.0))
    result = image.astype(np.float32)
    weight = alpha[box][..., None]
    result[box] = result[box] * (1 - weight) + texture * weight
    return _to_uint8(result)


def _to_uint8(image: npt.NDArray[np.float32]) -> ImageArray:
    return np.clip(image, 0.0, 255.0).astype(np.uint8)
