"""A model whose opinion of a picture can be read off the picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.preprocess import LITE_NORMALISATION, Preprocessor
from lsm_monitor.model.segmentation import Segmentation
from lsm_train.data import Picture


class BlueIsWater(LsmAdapter):
    """Logits that follow the blue channel: 0 is dry, 127 undecided, 255 water."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.preprocessor = Preprocessor(64, LITE_NORMALISATION, "off")
        self.anywhere = nn.Parameter(torch.zeros(()))  # whose device is the model's

    def forward(
        self,
        images: torch.Tensor,
        equalised: torch.Tensor,  # noqa: ARG002 - the signature of LsmAdapter
        *,
        prompted: bool = True,
        small_logits: torch.Tensor | None = None,  # noqa: ARG002 - as above
    ) -> Segmentation:
        logits = nn.functional.avg_pool2d(images[:, 2:], 4) * 4.0
        answer = logits if prompted else -logits
        return Segmentation(answer, answer)


def striped_picture(name: str, blue_rows: int, water_rows: int, blue: int = 255) -> Picture:
    """64 x 64 pixels, the first ``blue_rows`` of them blue, the first ``water_rows`` water."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:blue_rows, :, 2] = blue
    labels = np.zeros((64, 64), np.uint8)
    labels[:water_rows] = 1
    return Picture("", name, image, labels)
