"""The model's two graphs: what the engines compile.

``encoder`` takes HE-Adapt's weights as an input, a vector for each picture. So its plan is that
of the frozen image encoder: it serves every adapter trained for it, and a batch may mix them.
``head`` is everything after it. An input that nobody looks at is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from lsm_engines import Graph
from lsm_monitor.model.he_adapt import CnnHeAdapt, VitHeAdapt, flat_weights
from lsm_monitor.model.lsm_adapter import AdaptedEncoder, CoAdapter, ImageEncoder, LsmAdapter
from lsm_monitor.model.small_lite import SmallLite
from lsm_monitor.model.style_prompt import amplitude_side_px


def encoder_graph(model: LsmAdapter) -> Graph:
    """Return the image encoder: images, frequencies, adapter -> map_0, map_1 and so on.

    ``images`` and ``frequencies`` are (3, S, S), ``adapter`` is (P,), from
    :func:`~lsm_monitor.model.he_adapt.flat_weights`; the maps are (C, h, w), finest first.
    Without an adapter ``images`` is the only input. Adapters inside the blocks are no input:
    they are part of the graph.

    Args:
        model: Put into evaluation mode, not changed otherwise. The fingerprint does not depend
            on its adapter's weights.
    """
    encoder, adapter = model.encoder.image_encoder, model.encoder.adapter
    picture = (3, model.preprocessor.input_size_px, model.preprocessor.input_size_px)
    inputs: dict[str, tuple[int, ...]] = {"images": picture}
    module = encoder
    if adapter is not None or model.encoder.block_adapters is not None:
        module = _PicturewiseEncoder(model.encoder)
    if adapter is not None:
        assert isinstance(adapter, VitHeAdapt | CnnHeAdapt)  # noqa: S101 - there are no others
        inputs |= {"frequencies": picture, "adapter": tuple(flat_weights(adapter).shape)}
    return Graph(
        name="encoder",
        module=module.eval(),
        inputs=inputs,
        outputs=tuple(_map_shapes(model)),
        fingerprint=_digest(module, inputs, _frozen_state(model.encoder)),
    )


def head_graph(model: LsmAdapter) -> Graph | None:
    """Return everything after the image encoder: images, amplitude, map_0 ... -> logits.

    ``images`` is (3, S, S), ``amplitude`` the amplitude image, the maps are those of
    :func:`encoder_graph`; ``logits`` is (1, h, w), or (C, h, w) of each class. ``images`` is
    there with a spatial prompt, ``amplitude`` with a style prompter.

    Args:
        model: Put into evaluation mode, not changed otherwise.

    Returns:
        ``None`` where the head is no graph. Boxes come from OpenCV; points need the places of
        maxima, which runtimes do not give; Mask R-CNN finds another number of instances in
        each picture; SINet-V2 and U2-Net first shrink the picture, averaging, which runtimes
        do each in their own way or not at all. Such a head runs in PyTorch.
    """
    head = model.head
    size_px = model.preprocessor.input_size_px
    inputs: dict[str, tuple[int, ...]] = {}
    if head.spatial is not None:
        if head.spatial.kind != "mask" or not isinstance(head.small_model, SmallLite):
            return None
        inputs["images"] = (3, size_px, size_px)
    if head.style_prompter is not None:
        side_px = amplitude_side_px(size_px)
        inputs["amplitude"] = (3, side_px, side_px)
    inputs |= _map_shapes(model)
    module = _Head(head, tuple(inputs))
    return Graph(
        name="head",
        module=module.eval(),
        inputs=inputs,
        outputs=("logits",),
        fingerprint=_digest(module, inputs, head.state_dict()),
    )


class _PicturewiseEncoder(nn.Module):
    """The adapted encoder; after the picture, frequencies and the adapter's weights."""

    def __init__(self, encoder: AdaptedEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, images: torch.Tensor, *of_adapter: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        encoder: ImageEncoder = self.encoder.image_encoder  # type: ignore[assignment]  # it is one
        adapter = self.encoder.adapter
        embedded = encoder.embed_patches(images)
        prompts: Sequence[torch.Tensor | None] = ()
        if adapter is not None:
            assert isinstance(adapter, VitHeAdapt | CnnHeAdapt)  # noqa: S101 - no others
            frequencies, weights = of_adapter
            prompts = adapter.prompts(embedded, frequencies, weights)
        return encoder.run_blocks(embedded, prompts, self.encoder.block_adapters)


class _Head(nn.Module):
    """The head with its inputs in a row."""

    def __init__(self, head: CoAdapter, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.head = head
        self._inputs = inputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        named = dict(zip(self._inputs, tensors, strict=True))
        maps = [tensor for name, tensor in named.items() if name.startswith("map_")]
        nobody_looks = maps[0]
        images = named.get("images", nobody_looks)
        amplitude = named.get("amplitude", nobody_looks)
        answer = self.head(images, amplitude, maps)
        return (answer.logits if answer.class_logits is None else answer.class_logits,)


def _frozen_state(encoder: AdaptedEncoder) -> dict[str, torch.Tensor]:
    """Return the weights that are part of the graph."""
    state = dict(encoder.image_encoder.state_dict())
    if encoder.block_adapters is not None:
        inside = encoder.block_adapters.state_dict()
        state |= {f"block_adapters.{name}": tensor for name, tensor in inside.items()}
    return state


def _map_shapes(model: LsmAdapter) -> dict[str, tuple[int, ...]]:
    """Return the shape of each of the encoder's maps, without the batch, by name."""
    encoder: ImageEncoder = model.encoder.image_encoder  # type: ignore[assignment]  # it is one
    size_px = model.preprocessor.input_size_px
    return {
        f"map_{index}": (channels, size_px // stride, size_px // stride)
        for index, (channels, stride) in enumerate(
            zip(encoder.channels, encoder.strides, strict=True)
        )
    }


def _digest(
    module: nn.Module, inputs: Mapping[str, object], weights: Mapping[str, torch.Tensor]
) -> str:
    """Return the SHA-256 of the code, the module's structure, its inputs and its weights."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(f"{module!r} {dict(inputs)}".encode())
    for name, tensor in weights.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
