"""From a picture to the model's input: the only preprocessing there is.

Trainer, engines and daemon all call :class:`Preprocessor`. Two versions of "resize and
normalise" that differ by half a pixel or one rounding cost accuracy nobody can find later.
The daemon calls its two halves one by one: what goes to another device are bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from lsm_monitor.model.parts import Equalisation
from lsm_monitor.model.postprocess import Letterbox

ImageArray = npt.NDArray[np.uint8]

_CLAHE_CLIP_LIMIT = 2.0
_CLAHE_TILES = (8, 8)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How pixel values become numbers around zero: (x - mean) / deviation, per channel.

    Attributes:
        name: Written into every bundle; another name for other numbers.
        mean: Of red, green and blue, in [0, 255].
        deviation: Of red, green and blue.
    """

    name: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


# What EfficientNet-Lite0's ImageNet weights were trained with. Measured on 112 street pictures:
# with these the stem's outputs have 0.8 times the variance its batch norm remembers (median
# over channels); with the usual ImageNet mean and deviation, 4 times.
LITE_NORMALISATION = Normalisation("rgb-letterbox-127-128", (127.0,) * 3, (128.0,) * 3)
# ImageNet's, which SAM was trained with.
IMAGENET_NORMALISATION = Normalisation(
    "rgb-letterbox-imagenet", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
)


@dataclass(frozen=True, slots=True, eq=False)
class Resized:
    """One picture at the model's size, in bytes.

    Attributes:
        image: (h, w, 3) uint8 RGB, the longer side S.
        equalised: The same after histogram equalisation; ``image`` itself when that is off.
        letterbox: How the picture was fitted.
    """

    image: ImageArray
    equalised: ImageArray
    letterbox: Letterbox


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One picture as model input.

    Attributes:
        image: (3, S, S) float32, normalised, contiguous, on the CPU: the picture at the top
            left, zero (the mean colour) right of it or below it.
        equalised: The same after histogram equalisation; ``image`` itself when that is off.
        letterbox: How the picture was fitted.
    """

    image: torch.Tensor
    equalised: torch.Tensor
    letterbox: Letterbox


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """What a model wants to be done to pictures.

    Pictures are fitted, not squashed, into the square, as SAM was trained: the same puddle
    has the same shape in a 4:3 and in a 16:9 stream.

    Attributes:
        input_size_px: Side S of the square input.
        normalisation: The image encoder's.
        equalisation: Kind of histogram equalisation (Sec. 3.1 of the paper names none): of
            each channel, of the brightness alone, the latter in tiles with limited contrast
            (CLAHE), or off. It is done after resizing and without the padding.
    """

    input_size_px: int
    normalisation: Normalisation
    equalisation: Equalisation

    def __call__(self, image: ImageArray) -> Prepared:
        """Return ``image``, (H, W, 3) uint8 RGB, as model input.

        Raises:
            ValueError: ``image`` is not (H, W, 3) uint8.
        """
        resized = self.resize(image)
        (normalised,) = self.normalise([resized.image])
        if resized.equalised is resized.image:
            return Prepared(normalised, normalised, resized.letterbox)
        (equalised,) = self.normalise([resized.equalised])
        return Prepared(normalised, equalised, resized.letterbox)

    def resize(self, image: ImageArray) -> Resized:
        """Return ``image``, (H, W, 3) uint8 RGB, at the model's size; the first half.

        Raises:
            ValueError: ``image`` is not (H, W, 3) uint8.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:  # noqa: PLR2004
            msg = f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}"
            raise ValueError(msg)
        letterbox = fit((image.shape[0], image.shape[1]), self.input_size_px)
        height, width = letterbox.resized_hw
        if letterbox.resized_hw != letterbox.frame_hw:
            # INTER_AREA averages all pixels: no moire from fences and asphalt when shrinking.
            shrinks = height < image.shape[0]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            resized = cv2.resize(image, (width, height), interpolation=method)
            image = np.asarray(resized, np.uint8)
        return Resized(image, equalise(image, self.equalisation), letterbox)

    def normalise(self, images: Sequence[ImageArray], device: str = "cpu") -> torch.Tensor:
        """Return (B, 3, S, S) float32 on ``device``; the second half, computed there.

        Args:
            images: (h, w, 3) uint8 RGB each, no side longer than S.
            device: In torch's words. What crosses to it are the bytes.
        """
        size_px = self.input_size_px
        batch = torch.zeros(len(images), 3, size_px, size_px, device=device)
        mean = torch.tensor(self.normalisation.mean, device=device)[:, None, None]
        deviation = torch.tensor(self.normalisation.deviation, device=device)[:, None, None]
        for square, image in zip(batch, images, strict=True):
            height, width = image.shape[:2]
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
            channels = pixels.permute(2, 0, 1).float()
            square[:, :height, :width] = channels.sub_(mean).div_(deviation)
        return batch


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


def equalise(image: ImageArray, kind: Equalisation) -> ImageArray:
    """Return (H, W, 3) uint8 RGB with its histogram spread over the full range."""
    if kind == "off":
        return image
    if kind == "rgb":
        channels = [cv2.equalizeHist(np.ascontiguousarray(image[..., i])) for i in range(3)]
        return np.asarray(np.stack(channels, axis=-1), np.uint8)
    lightness = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    if kind == "clahe":
        clahe = cv2.createCLAHE(_CLAHE_CLIP_LIMIT, _CLAHE_TILES)
        lightness[..., 0] = clahe.apply(np.ascontiguousarray(lightness[..., 0]))
    else:
        lightness[..., 0] = cv2.equalizeHist(np.ascontiguousarray(lightness[..., 0]))
    return np.asarray(cv2.cvtColor(lightness, cv2.COLOR_LAB2RGB), np.uint8)
