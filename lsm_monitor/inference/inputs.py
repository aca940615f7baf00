"""What the model's two graphs look at, made of pictures in PyTorch on the engines' device.

Engines get no bytes, because runtimes do not agree on FFTs, nor on resizing that averages.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lsm_monitor.model.he_adapt import CnnHeAdapt, VitHeAdapt, flat_weights
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.preprocess import Resized


class GraphInputs:
    """Makes the inputs of a model's graphs, but for the encoder's maps.

    Args:
        model: Whose graphs.
        device: Where to make them, in torch's words.
    """

    def __init__(self, model: LsmAdapter, device: str = "cpu") -> None:
        self._model = model
        self._device = device
        self._adapter: torch.Tensor | None = None
        adapter = model.encoder.adapter
        if isinstance(adapter, VitHeAdapt | CnnHeAdapt):
            self._adapter = flat_weights(adapter).detach().to(device)

    def of(self, pictures: Sequence[Resized]) -> dict[str, torch.Tensor]:
        """Return ``images``, ``frequencies``, ``amplitude`` and, with HE-Adapt, ``adapter``.

        Args:
            pictures: From the model's preprocessor.

        Returns:
            (B, ...) float32 each, on the device.
        """
        model, normalise = self._model, self._model.preprocessor.normalise
        with torch.inference_mode():
            images = equalised = normalise([each.image for each in pictures], self._device)
            if model.preprocessor.equalisation != "off":
                equalised = normalise([each.equalised for each in pictures], self._device)
            tensors = {
                "images": images,
                "frequencies": model.frequencies(equalised),
                "amplitude": model.amplitude(images),
            }
            if self._adapter is not None:
                tensors["adapter"] = self._adapter.repeat(len(pictures), 1)
        return tensors
