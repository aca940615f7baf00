"""From a picture to the model's input: the only preprocessing there is.

Trainer, engines and daemon all call :func:`preprocess`. Two versions of "resize and
normalise" that differ by half a pixel or one rounding cost accuracy nobody can find later.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from lsm_monitor.model.postprocess import Letterbox

# Written into every bundle; change it when one number below changes.
PREPROCESSING = "rgb-letterbox-127-128"

# What EfficientNet-Lite0's ImageNet weights were trained with. Measured on 112 street pictures:
# with these the stem's outputs have 0.8 times the variance its batch norm remembers (median
# over channels); with the usual ImageNet mean and deviation, 4 times.
_MEAN = 127.0
_DEVIATION = 128.0


def fit(frame_hw: tuple[int, int], input_size: int) -> Letterbox:
    """Return how a frame is scaled so that its longer side is ``input_size`` pixels.

    Raises:
        ValueError: A side is not positive.
    """
    height, width = frame_hw
    if min(height, width, input_size) < 1:
        msg = f"sides must be positive, got frame {frame_hw} and input {input_size}"
        raise ValueError(msg)
    scale = input_size / max(height, width)
    resized_hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    return Letterbox(frame_hw, resized_hw, input_size)


def preprocess(image: npt.NDArray[np.uint8], input_size: int) -> tuple[torch.Tensor, Letterbox]:
    """Return one picture as model input.

    Args:
        image: (H, W, 3) uint8, RGB.
        input_size: Side S of the square input, in pixels.

    Returns:
        (3, S, S) float32, normalised, contiguous, on the CPU: the picture at the top left,
        mid-grey (zero) right of it or below it; and how it was fitted.

    Raises:
        ValueError: ``image`` is not (H, W, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:  # noqa: PLR2004
        msg = f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}"
        raise ValueError(msg)
    letterbox = fit((image.shape[0], image.shape[1]), input_size)
    height, width = letterbox.resized_hw
    if letterbox.resized_hw != letterbox.frame_hw:
        # INTER_AREA averages all pixels: no moire from fences and asphalt when shrinking.
        shrinks = height < image.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
    tensor = torch.zeros(3, input_size, input_size)
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    tensor[:, :height, :width] = pixels.float().sub_(_MEAN).div_(_DEVIATION)
    return tensor, letterbox
