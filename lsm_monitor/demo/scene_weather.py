"""Rain on the street, and what a camera makes of it all: blur, vignette, noise."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene_ground import Ground
from lsm_monitor.demo.scene_light import light_of
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_texture import sample_tile, tiled_noise
from lsm_monitor.demo.scene_view import Floats


class Weather:
    """Rain and camera of one street.

    Args:
        style: The street.
        rng: Source of chance.
    """

    def __init__(self, style: SceneStyle, rng: np.random.Generator) -> None:
        self._style = style
        height, width = style.height_px, style.width_px
        shape = (2 * height, 2 * width, 3)
        grain = rng.standard_normal(shape, np.float32)
        # Sensor noise is not white any more after the camera's own filters.
        self._grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * 1.8 * style.noise
        rows, columns = np.indices((height, width), np.float32)
        radius = np.hypot(rows / height - 0.5, columns / width - 0.5)
        self._vignette = (1.02 - 0.3 * radius**2)[..., None].astype(np.float32)
        self._streaks = self._rain_streaks(rng)
        self._puddle_tile = tiled_noise(rng, 128, roughness=1.4)

    def wet(self, ground: Ground, mirror: Floats) -> Floats:
        """Return the ground's picture, (H, W, 3) float32, as rain makes it: dark and glossy.

        A wet road is no water surface: its gloss is a blur that has lost every outline.
        """
        if self._style.rain <= 0:
            return ground.image
        soak = min(1.0, 0.55 + 0.6 * self._style.rain)
        height_m = self._style.camera_height_m
        cosine = height_m / np.hypot(ground.depth_m, height_m)
        patches = 1 + 0.25 * sample_tile(self._puddle_tile, ground.x_m / 7, ground.z_m / 7)
        gloss = soak * 0.5 * (1 - cosine) ** 3 * patches.clip(0.3, 1.7)
        blur_px = self._style.height_px // 5 | 1
        sheen = cv2.blur(cv2.blur(mirror, (9, blur_px)), (5, blur_px))
        dark = ground.image * (1 - 0.3 * soak)
        return np.asarray(dark + (sheen - dark) * gloss[..., None].clip(0, 0.6), np.float32)

    def develop(self, image: Floats, t_s: float) -> npt.NDArray[np.uint8]:
        """Return the picture that the camera delivers at ``t_s``; ``image`` is used up."""
        rng = np.random.default_rng((self._style.seed, round(t_s * 1000)))
        height, width = image.shape[:2]
        down, right = int(rng.integers(height)), int(rng.integers(width))
        image *= self._vignette
        image *= 1 + 0.012 * float(np.sin(2.4 * t_s))  # the exposure breathes
        if self._style.rain > 0:
            image += self._streaks[down : down + height, right : right + width]
        down, right = int(rng.integers(height)), int(rng.integers(width))
        image += self._grain[down : down + height, right : right + width]
        sharp = cv2.convertScaleAbs(np.maximum(image, 0, out=image))
        return np.asarray(cv2.GaussianBlur(sharp, (3, 3), 0.55), np.uint8)

    def _rain_streaks(self, rng: np.random.Generator) -> Floats:
        height, width = 2 * self._style.height_px, 2 * self._style.width_px
        streaks = np.zeros((height, width), np.uint8)
        for _ in range(int(1400 * self._style.rain)):
            x, y = int(rng.integers(width)), int(rng.integers(height))
            length_px = int(rng.uniform(6, 26))
            end = (x + int(rng.uniform(0, 0.15) * length_px), y + length_px)
            cv2.line(streaks, (x, y), end, int(rng.uniform(15, 60)), 1, cv2.LINE_AA)
        soft = cv2.blur(streaks.astype(np.float32), (1, 5))
        brightness = float(light_of(self._style).ambient.mean())
        return np.asarray(soft[..., None] * np.full(3, 0.7 * brightness, np.float32))
