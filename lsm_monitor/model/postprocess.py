"""From mask logits back to the pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_monitor.model.parts import ClassWiseParts


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a frame was fitted into the square model input: scaled, then padded right/bottom.

    Attributes:
        frame_hw: Height and width of the frame, in pixels.
        resized_hw: Height and width after scaling, in pixels; the rest is padding.
        input_size: Side of the square model input, in pixels.
    """

    frame_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    input_size: int


MASK_MAX_SIDE_PX = 640
"""Longer side at which the daemon judges masks, at most."""


def capped_hw(frame_hw: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Return ``frame_hw`` scaled down so that no side exceeds ``max_side_px``."""
    scale = min(1.0, max_side_px / max(frame_hw))
    return max(1, round(frame_hw[0] * scale)), max(1, round(frame_hw[1] * scale))


def logits_to_frame(
    low_res_logits: torch.Tensor, letterbox: Letterbox, size_hw: tuple[int, int]
) -> torch.Tensor:
    """Turn decoder output into water probabilities in the frame's aspect ratio.

    Interpolates logits and not probabilities: the sigmoid is applied last, so edges stay
    sharp.

    Args:
        low_res_logits: (B, 1, h, w) float, raw decoder output.
        letterbox: The fit that was used for this batch.
        size_hw: Height and width of the result, in pixels: ``letterbox.frame_hw`` to compare
            with a mask, less where memory counts.

    Returns:
        (B, 1, *size_hw) float32 in [0, 1], on the device of the input.

    Raises:
        ValueError: ``low_res_logits`` is not (B, 1, h, w).
    """
    if low_res_logits.ndim != 4 or low_res_logits.shape[1] != 1:  # noqa: PLR2004
        msg = f"low_res_logits must be (B, 1, h, w), got {tuple(low_res_logits.shape)}"
        raise ValueError(msg)
    return to_frame(low_res_logits, letterbox, size_hw).sigmoid()


def to_frame(
    low_res: torch.Tensor, letterbox: Letterbox, size_hw: tuple[int, int]
) -> torch.Tensor:
    """Bring decoder output to the frame's aspect ratio: (B, C, h, w) -> (B, C, *size_hw).

    The padding is cut away before the second resize; it must not bleed into the frame.
    """
    size = (letterbox.input_size, letterbox.input_size)
    height, width = letterbox.resized_hw
    # (B, C, h, w) -> (B, C, S, S) -> cut padding -> (B, C, *size_hw)
    logits = F.interpolate(low_res.float(), size, mode="bilinear", align_corners=False)
    logits = logits[..., :height, :width]
    return F.interpolate(logits, size_hw, mode="bilinear", align_corners=False)


def road_logits(class_logits: torch.Tensor, parts: ClassWiseParts) -> torch.Tensor:
    """Return the log-odds that a pixel without water is road: (B, C, h, w) -> (B, 1, h, w).

    Args:
        class_logits: Of a class-wise decoder, or log-probabilities.
        parts: Its classes; some of them are road.
    """
    road = [parts.classes.index(name) for name in parts.road]
    rest = [i for i in range(len(parts.classes)) if i not in {parts.water_index, *road}]
    of_road, of_rest = (class_logits[:, which].logsumexp(1) for which in (road, rest))
    return (of_road - of_rest)[:, None]


_DOUBT_MARGIN = 0.2


def doubt_of(probability: npt.NDArray[np.float32], threshold: float) -> float:
    """Return the share of pixels whose probability is within 0.2 of the threshold, [0, 1]."""
    return float(np.mean(np.abs(probability - np.float32(threshold)) <= _DOUBT_MARGIN))


@dataclass(frozen=True, slots=True)
class WaterRule:
    """What counts as water: hysteresis thresholding, per connected piece.

    A wet or shadowed road looks a little like water everywhere and very much like it nowhere;
    standing water does somewhere. So a piece of water needs a core of confident pixels, and
    then it reaches as far as the lower threshold. Measured figures are in docs/training.md.

    Attributes:
        threshold: Probability from which a pixel may be water.
        core_threshold: Probability from which it vouches for its piece.
        core_share: Share of a piece's pixels that must vouch for it; 0 asks for none.
    """

    threshold: float
    core_threshold: float
    core_share: float

    @classmethod
    def plain(cls, threshold: float = 0.5) -> WaterRule:
        """Return the rule that asks for no core: what compares models, not calibrations."""
        return cls(threshold, threshold, 0.0)

    def apply(self, probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (H, W) float32 with the pieces that lack a core set to zero."""
        water = probability >= self.threshold
        if self.core_share == 0.0 or not water.any():
            return probability
        # 8-connected: a mirror line one pixel wide must not cut a lake in two.
        count, pieces = cv2.connectedComponents(water.astype(np.uint8), connectivity=8)
        pieces = pieces.ravel()
        pixels = np.bincount(pieces, minlength=count)
        core = np.bincount(
            pieces, (probability >= self.core_threshold).ravel(), minlength=count
        )
        stands = core >= self.core_share * pixels
        stands[0] = True  # what is not water stays as it is
        return np.where(stands[pieces].reshape(water.shape), probability, np.float32(0.0))
