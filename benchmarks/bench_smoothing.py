"""Which filter over time ignores what passes: averages, medians or a Bayes filter per pixel.

    python benchmarks/bench_smoothing.py [--rendered]

Plain: masks of a flood whose truth is known, at several intervals between pictures, with what
hides water (cars, a queue at a red light, wipers) and what feigns it (headlights, rain
streaks). With --rendered: streets of the demo's kind with 24 cars a minute through the shipped
model, against the same model's masks of the same street without cars. Three seeds each.

Printed: mean and standard deviation of the error while the water stands still, water seen on
the dry road at worst, and by how much the thresholds are crossed later than in truth, rising
and falling. The last column is the error over the whole clip. Shares are percent of the zone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene import StreetScene, road_zone
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.types import CameraId, Frame, FrameStamp, WaterMask, ZoneId
from lsm_monitor.water.smoothing import BELIEVED_FROM, MaskSmoother
from lsm_monitor.water.zones import Zone, rasterise

SEEDS = (22, 31, 47)
THRESHOLD = 0.575  # the shipped model's
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Filter = Callable[[Floats, float], Bools]
"""Takes the probabilities, (frames, pixels), and seconds between frames."""


@dataclass(frozen=True)
class Clip:
    """One flood: dry, rising, standing, falling, dry; times in seconds at its corners."""

    times_s: npt.NDArray[np.float64]
    probability: Floats
    truth: Bools
    corners_s: tuple[float, float, float, float]


def main() -> None:
    """Print one table per set of clips."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rendered", action="store_true")
    if parser.parse_args().rendered:
        print_table("rendered, 10 s", [rendered_clip(seed) for seed in SEEDS], 10.0)
        return
    for interval_s in (2.0, 10.0, 30.0):
        clips = [simulated_clip(seed, interval_s) for seed in SEEDS]
        print_table(f"simulated, {interval_s:g} s", clips, interval_s)


def print_table(name: str, clips: Sequence[Clip], interval_s: float) -> None:
    """Print one row per filter, the mean over ``clips``."""
    print(f"| {name} | standing: error | sd | dry: worst | later, s up / down | whole clip |")
    print("|---|---|---|---|---|---|")
    for title, apply in filters(interval_s).items():
        rows = [scores(clip, apply(clip.probability, interval_s)) for clip in clips]
        error, deviation, dry, up_s, down_s, whole = np.mean(rows, axis=0)
        print(
            f"| {title} | {error:.2f} | {deviation:.2f} | {dry:.2f} "
            f"| {up_s:.0f} / {down_s:.0f} | {whole:.2f} |"
        )


def filters(interval_s: float) -> dict[str, Filter]:
    """Return the candidates; a filter of ours is never faster than the pictures come."""
    return {
        "none": lambda p, _: p >= THRESHOLD,
        "average of probabilities, 20 s": average(20.0, binary=False),
        "average of probabilities, 40 s": average(40.0, binary=False),
        "average of masks, 20 s": average(20.0, binary=True),
        "average of masks, 40 s": average(40.0, binary=True),
        "median, 50 s": median(50.0),
        "median, 90 s": median(90.0),
        "Bayes, `smoothing_s: 10`": bayes(max(10.0, interval_s)),
        "**Bayes, `smoothing_s: 15`** (default)": bayes(max(15.0, interval_s)),
        "Bayes, `smoothing_s: 20`": bayes(max(20.0, interval_s)),
    }


def average(time_constant_s: float, *, binary: bool) -> Filter:
    """Return an exponential moving average."""

    def apply(probability: Floats, interval_s: float) -> Bools:
        shown = (probability >= THRESHOLD).astype(np.float32) if binary else probability
        weight = np.float32(-np.expm1(-interval_s / time_constant_s))
        means = [shown[0]]
        for each in shown[1:]:
            means.append(means[-1] + weight * (each - means[-1]))
        return np.stack(means) >= (0.5 if binary else THRESHOLD)

    return apply


def median(window_s: float) -> Filter:
    """Return a running median over an odd number of frames, at least three."""

    def apply(probability: Floats, interval_s: float) -> Bools:
        count = max(3, round(window_s / interval_s) | 1)
        return np.stack(
            [
                np.median(probability[max(0, i - count + 1) : i + 1], axis=0) >= THRESHOLD
                for i in range(len(probability))
            ]
        )

    return apply


def bayes(smoothing_s: float) -> Filter:
    """Return the daemon's own filter."""

    def apply(probability: Floats, interval_s: float) -> Bools:
        smoother = MaskSmoother(smoothing_s=smoothing_s, max_gap_s=3600.0)
        beliefs = [
            smoother.update(WaterMask(stamp_at(interval_s * i), each[None], THRESHOLD, 0.0))
            for i, each in enumerate(probability)
        ]
        return np.concatenate(beliefs) >= BELIEVED_FROM

    return apply


def scores(clip: Clip, seen: Bools) -> tuple[float, ...]:
    """Return the numbers of one row; see the module's docstring."""
    share, true_share = 100 * seen.mean(axis=1), 100 * clip.truth.mean(axis=1)
    rises_s, stands_s, falls_s, ends_s = clip.corners_s
    settle_s = 0.2 * (falls_s - stands_s)
    standing = (clip.times_s >= stands_s + settle_s) & (clip.times_s < falls_s)
    dry = (clip.times_s >= 0.3 * rises_s) & (clip.times_s < rises_s)
    return (
        float(np.abs(share - true_share)[standing].mean()),
        float(share[standing].std()),
        float(share[dry].max()),
        lateness_s(clip, share, true_share, (rises_s, falls_s), (8.0, 25.0, 50.0)),
        lateness_s(clip, -share, -true_share, (falls_s, ends_s), (-40.0, -18.0, -4.0)),
        float(np.abs(share - true_share).mean()),
    )


def lateness_s(
    clip: Clip,
    share: npt.NDArray[np.float64],
    true_share: npt.NDArray[np.float64],
    span_s: tuple[float, float],
    limits: Sequence[float],
) -> float:
    """Return by how much later than in truth ``share`` reaches the limits, in the mean."""
    within = (clip.times_s >= span_s[0]) & (clip.times_s <= span_s[1])
    times_s = clip.times_s[within]
    late = []
    for limit in limits:
        reached, truly = share[within] >= limit, true_share[within] >= limit
        late.append(
            times_s[reached.argmax() if reached.any() else -1] - times_s[truly.argmax()]
        )
    return float(np.mean(late))


def simulated_clip(seed: int, interval_s: float) -> Clip:
    """Return masks of a zone of 60 x 100 pixels with everything that disturbs them."""
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.normal(size=(60, 100)), (0, 0), 9)
    rank = ground.ravel().argsort().argsort().reshape(ground.shape) / ground.size
    corners_s = (600.0, 1200.0, 1800.0, 2400.0)
    times_s = np.arange(0.0, 3000.0, interval_s)
    levels = np.interp(times_s, corners_s, (0.0, 0.6, 0.6, 0.0))
    traffic = Traffic(rng)
    probability, truth = [], []
    for t_s, level in zip(times_s, levels, strict=True):
        water = rank < level
        speckle = cv2.GaussianBlur(rng.normal(size=water.shape), (0, 0), 3)
        logits = np.where(water, 3.0, -3.0) + rng.normal(0, 0.5, water.shape)
        shown = 1 / (1 + np.exp(-(logits + 1.2 * speckle / speckle.std())))
        traffic.disturb(shown, float(t_s))
        probability.append(shown.ravel().astype(np.float32))
        truth.append(water.ravel())
    return Clip(times_s, np.stack(probability), np.stack(truth), corners_s)


class Traffic:
    """24 vehicles a minute in two lanes, a queue, headlights by night, wipers, rain."""

    def __init__(self, rng: np.random.Generator) -> None:
        count = rng.poisson(24 * 50)
        self._rng = rng
        self._arrive_s = rng.uniform(-20, 3000, count)
        self._lane = rng.integers(0, 2, count)
        self._cross_s = rng.uniform(4, 8, count)

    def disturb(self, shown: npt.NDArray[np.float64], t_s: float) -> None:
        """Draw over ``shown``, (60, 100) probabilities."""
        is_night = t_s % 1500 > 700  # noqa: PLR2004 - dry, rising and falling road, by turns
        here = (self._arrive_s <= t_s) & (t_s < self._arrive_s + self._cross_s)
        for car in np.flatnonzero(here):
            way = (t_s - self._arrive_s[car]) / self._cross_s[car]
            lane = self._lane[car]
            x, y = int(100 * (way if lane else 1 - way)), 8 + 26 * lane
            if is_night:  # its headlights mirror on the road ahead
                ahead = x + (14 if lane else -14)
                beam = shown[y : y + 18, max(0, ahead - 6) : max(0, ahead + 6)]
                np.maximum(beam, 0.85, out=beam)
            shown[y : y + 20, max(0, x - 9) : max(0, x + 9)] = 0.05
        if t_s % 120 < 30:  # noqa: PLR2004 - red light: two cars stand in the first lane
            shown[8:28, 64:76] = shown[8:28, 79:91] = 0.05
        if self._rng.random() < 1 / 6:
            wiper = int(self._rng.integers(0, 100))
            shown[:, max(0, wiper - 4) : wiper + 4] = 0.1
        for _ in range(12):
            x, y = int(self._rng.integers(0, 100)), int(self._rng.integers(0, 45))
            shown[y : y + 15, x] = 1 - shown[y : y + 15, x]


def rendered_clip(seed: int) -> Clip:
    """Return the shipped model's masks of a busy street; truth: the street without cars."""
    style = replace(SceneStyle(), seed=seed, cars_per_minute=24.0, rain=0.5)
    scenes = StreetScene(style), StreetScene(replace(style, cars_per_minute=0.0))
    corners_s = (120.0, 420.0, 720.0, 1020.0)
    times_s = np.arange(0.0, 1200.0, 10.0)
    levels = np.interp(times_s, corners_s, (0.0, 0.6, 0.6, 0.0))
    zone = Zone(ZoneId("road"), road_zone(style))
    road = rasterise(zone, (style.height_px, style.width_px))
    busy, calm = (
        np.stack([mask[road] for mask in model_masks(scene, times_s, levels)])
        for scene in scenes
    )
    return Clip(times_s, busy, calm >= THRESHOLD, corners_s)


def model_masks(
    scene: StreetScene, times_s: npt.NDArray[np.float64], levels: npt.NDArray[np.float64]
) -> Iterator[Floats]:
    """Yield the shipped model's probabilities, (H, W), of each picture."""
    segmenter = Segmenter.open("compact", backend="auto", device="cpu", threads=0, max_batch=1)
    for t_s, level in zip(times_s, levels, strict=True):
        image, _ = scene.render(float(level), float(t_s))
        (mask,) = segmenter.segment([Frame(stamp_at(float(t_s)), np.ascontiguousarray(image))])
        yield mask.probability
    segmenter.close()


def stamp_at(t_s: float) -> FrameStamp:
    """Return the stamp of a frame at ``t_s``."""
    at = datetime(2026, 7, 1, tzinfo=UTC) + timedelta(seconds=t_s)
    return FrameStamp(CameraId("bench"), 0, 0, t_s, at, t_s)


if __name__ == "__main__":
    main()
