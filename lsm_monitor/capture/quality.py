"""Whether a picture can be judged at all, and why not.

A picture that cannot be judged is *absent* downstream, never "no water". That makes a wrong
alarm here expensive (the camera goes blind), so what is said of a single picture needs nine
tenths of it. Of 1,196 real pictures of streets and floods none comes near: at most 0.26 of the
tiles of any are dark, 0.26 overexposed, 0.65 without texture.

DARK, OVEREXPOSED and BLANK are seen in one picture; FROZEN in the last ones
(``stillness.py``); BLURRED, OBSTRUCTED and CAMERA_MOVED only against what the camera has
learnt about its own view (``view.py``). A turned camera is unusable although its picture is
fine, because the zones lie elsewhere: its water would be reported at the wrong place. Drops on
the lens and infra-red light make pictures worse but not worthless: they are *notes*, and the
pictures are judged.

Deciding by the *share of tiles* leaves out the clock and the name that most cameras print into
the picture: they run on over a covered lens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.capture.stillness import StillnessCheck
from lsm_monitor.capture.thumbnail import TILE_PX, thumbnail
from lsm_monitor.capture.view import ViewCheck
from lsm_monitor.types import HealthCode


@dataclass(frozen=True, slots=True)
class QualityRules:
    """Limits of the checks. Luma runs from 0 to 255.

    Attributes:
        tiles_fraction: Share of the tiles that must agree on a code, [0, 1].
        dark_luma: A tile whose mean lies below is dark.
        bright_luma: A tile whose mean lies above is overexposed.
        flat_luma: A tile whose standard deviation lies below has no texture.
        frozen_after_s: A picture must stay the same this long to count as frozen. Longer than
            any sensible key-frame interval: between two key frames, H.264 may copy the tiles
            of a quiet scene for ever.
        frozen_after_pictures: So many pictures must have stayed the same as well.
    """

    tiles_fraction: float = 0.9
    dark_luma: float = 16.0
    bright_luma: float = 250.0
    flat_luma: float = 2.0
    frozen_after_s: float = 120.0
    frozen_after_pictures: int = 5


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """Verdict about one picture.

    Attributes:
        codes: Why it is unusable; sorted.
        notes: What is worth knowing about it all the same; sorted.
    """

    codes: tuple[HealthCode, ...]
    notes: tuple[HealthCode, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the picture can be judged."""
        return not self.codes


def exposure_codes(
    tiles: npt.NDArray[np.float32], rules: QualityRules
) -> tuple[HealthCode, ...]:
    """Return why a single picture shows nothing: at most one code, the most telling.

    Args:
        tiles: See :meth:`Thumbnail.tiles`.
        rules: Limits.
    """
    means = tiles.mean(axis=1)
    if np.mean(means < rules.dark_luma) >= rules.tiles_fraction:
        return (HealthCode.DARK,)
    if np.mean(means > rules.bright_luma) >= rules.tiles_fraction:
        return (HealthCode.OVEREXPOSED,)
    if np.mean(tiles.std(axis=1) < rules.flat_luma) >= rules.tiles_fraction:
        return (HealthCode.BLANK,)
    return ()


class QualityCheck:
    """Judges the pictures of one camera in turn, reconnects or not: it may be frozen across.

    Args:
        rules: Limits.
        memory: What :meth:`memory` returned before a restart.
    """

    def __init__(self, rules: QualityRules, memory: CameraMemory | None = None) -> None:
        self._rules = rules
        self._view = ViewCheck(memory or CameraMemory())
        self._stillness = StillnessCheck(rules.frozen_after_s, rules.frozen_after_pictures)

    def memory(self) -> CameraMemory:
        """Return what the camera has learnt about its view so far: a value, to be stored."""
        return self._view.memory()

    def forget(self) -> None:
        """Take the view the camera has from now on for the right one."""
        self._view = ViewCheck(CameraMemory())

    def assess(self, image: npt.NDArray[np.uint8], time_s: float) -> FrameQuality:
        """Judge the next picture.

        Args:
            image: (H, W, 3) uint8, RGB.
            time_s: When it was decoded, in seconds; never goes backwards.

        Raises:
            ValueError: See :func:`thumbnail`.
        """
        if min(image.shape[:2]) < TILE_PX:
            return FrameQuality((HealthCode.BLANK,))  # too small to show anything
        thumb = thumbnail(image)
        tiles, light = thumb.tiles(), self._view.light(thumb)
        codes = list(exposure_codes(tiles, self._rules))
        usual = None if codes else self._view.usual_stillness(light)
        if self._stillness.is_frozen(tiles, time_s, usual):
            codes.append(HealthCode.FROZEN)
        if codes:
            return FrameQuality(tuple(sorted(codes)))
        if self._stillness.still_share is not None:
            self._view.learn_stillness(light, self._stillness.still_share)
        notes = [HealthCode.INFRARED] if light.is_grey else []
        codes += self._view.assess(thumb, time_s)
        if self._view.is_lens_dirty:
            notes.append(HealthCode.LENS_DIRTY)
        return FrameQuality(tuple(codes), tuple(sorted(notes)))
