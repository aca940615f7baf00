"""How sure the model is of a picture: does the small model see what the large one sees?

The daemon's engines give the answer alone. Here the model runs in PyTorch, where both opinions
can be had: slower, and good enough for choosing pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lsm_monitor.model.bundle import Bundle
from lsm_monitor.model.classwise_decoder import split_water
from lsm_monitor.model.postprocess import Letterbox, doubt_of, logits_to_frame


@dataclass(frozen=True, slots=True)
class Opinions:
    """What the model says about one picture.

    Attributes:
        doubt: Share of the picture that is near the threshold, see :func:`doubt_of`.
        water_fraction: Share of the picture that is water, [0, 1].
        disagreement: Share of the picture that only one of mask decoder and small model calls
            water, [0, 1]; ``None`` when the bundle's small model has no mask.
    """

    doubt: float
    water_fraction: float
    disagreement: float | None


class SecondOpinion:
    """Runs a bundle's model picture by picture, on the CPU."""

    def __init__(self, bundle: Bundle) -> None:
        self._model = bundle.model.eval()
        self._rule = bundle.manifest.water_rule

    def of(self, image: npt.NDArray[np.uint8]) -> Opinions:
        """Return the opinions about ``image``, (H, W, 3) uint8 RGB.

        Raises:
            ValueError: ``image`` is not (H, W, 3) uint8.
        """
        prepared = self._model.preprocessor(image)
        with torch.inference_mode():
            said = self._model(prepared.image[None], prepared.equalised[None])
        probability = _probability(said.logits, prepared.letterbox)
        threshold = self._rule.threshold
        disagreement = None
        if said.small_logits is not None:
            decoded, classes = said.decoder_logits, self._model.head.classwise
            if classes is not None:
                decoded, _ = split_water(decoded, classes.water_index)
            large = _probability(decoded, prepared.letterbox) >= threshold
            small = _probability(said.small_logits, prepared.letterbox) >= threshold
            disagreement = float(np.mean(large != small))
        water = self._rule.apply(probability) >= threshold
        return Opinions(doubt_of(probability, threshold), float(water.mean()), disagreement)


def _probability(logits: torch.Tensor, letterbox: Letterbox) -> npt.NDArray[np.float32]:
    return logits_to_frame(logits, letterbox, letterbox.resized_hw)[0, 0].numpy()
