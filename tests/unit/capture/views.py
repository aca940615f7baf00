"""Pictures of one place for the tests of picture health: textured, noisy, with an overlay."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.capture.quality import FrameQuality, QualityCheck, QualityRules

Image = npt.NDArray[np.uint8]
INTERVAL_S = 10.0
LEARNT_PICTURES = 40


def place(seed: int = 1) -> Image:
    """Return a view that differs from seed to seed: boxes of every size, as houses are."""
    rng = np.random.default_rng(seed)
    image = np.full((360, 640, 3), 120, np.uint8)
    for _ in range(120):
        x, y = int(rng.integers(-40, 640)), int(rng.integers(-40, 360))
        width, height = map(int, rng.integers(12, 120, 2))
        colour = [int(c) for c in rng.integers(30, 226, 3)]
        cv2.rectangle(image, (x, y), (x + width, y + height), colour, -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8)


def noisy(image: Image, seed: int, sigma: float = 1.5) -> Image:
    """Return ``image`` with the noise of a sensor."""
    noise = np.random.default_rng(seed).normal(0.0, sigma, (*image.shape[:2], 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def with_clock(image: Image, second: int) -> Image:
    """Draw the date and time that cameras print into the picture."""
    text = f"2026-01-01 12:00:{second:02d}  CAMERA 4"
    drawn = image.copy()
    cv2.putText(drawn, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    return drawn


def as_infrared(image: Image) -> Image:
    """Return ``image`` without colour, in the light of a lamp beside the lens."""
    rows, columns = np.indices(image.shape[:2], np.float32)
    lamp = np.exp(-3 * ((columns / 640 - 0.5) ** 2 + (rows / 360 - 0.6) ** 2))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) * lamp
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def turned(image: Image, right_fraction: float, down_fraction: float = 0.0) -> Image:
    """Return what a camera sees that was turned by so much of its picture."""
    height, width = image.shape[:2]
    by = (round(down_fraction * height), round(right_fraction * width))
    return np.roll(image, by, axis=(0, 1))


class Camera:
    """A check, and the pictures it has been given."""

    def __init__(self, check: QualityCheck | None = None) -> None:
        self.check = check or QualityCheck(QualityRules())
        self.pictures = 0

    def sees(self, image: Image, times: int = 1, sigma: float = 1.5) -> list[FrameQuality]:
        """Return the verdicts about ``image``, each time with other noise and a later clock."""
        verdicts = []
        for _ in range(times):
            self.pictures += 1
            live = with_clock(noisy(image, self.pictures, sigma), self.pictures % 60)
            verdicts.append(self.check.assess(live, self.pictures * INTERVAL_S))
        return verdicts

    def learns(self, *images: Image) -> Camera:
        """Let the camera get to know its view in each light."""
        for image in images:
            self.sees(image, LEARNT_PICTURES)
        return self


def codes_of(verdicts: Iterable[FrameQuality]) -> list[tuple[str, ...]]:
    """Return the codes of each verdict."""
    return [verdict.codes for verdict in verdicts]
