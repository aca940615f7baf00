"""Small models for tests: the real modules, small enough to build in half a second."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lsm_monitor.model import build
from lsm_monitor.model.build import build_model
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import (
    EncoderAdapterParts,
    ModelParts,
    SemanticPromptParts,
    SpatialPromptParts,
)
from lsm_monitor.model.sam_vit import VitSize
from lsm_monitor.model.segmentation import Segmentation

SIZE_PX = 64
EVERYTHING = ModelParts(
    image_encoder="efficientnet_lite0",
    input_size_px=SIZE_PX,
    encoder_adapter=EncoderAdapterParts(kind="he"),
    small_model="lite",
    spatial_prompt=SpatialPromptParts(kind="mask"),
    semantic_prompt=SemanticPromptParts(prototypes_per_class=3),
    style_prompt=True,
    prompt_combiner=True,
)
NO_PROMPTS = EVERYTHING.model_copy(
    update={
        "small_model": None,
        "spatial_prompt": None,
        "semantic_prompt": None,
        "style_prompt": False,
        "prompt_combiner": False,
    }
)
MANIFEST: dict[str, object] = {
    "name": "tiny",
    "version": "1.2.3",
    "classes": ("water",),
    "preprocessing": "rgb-letterbox-127-128",
    "parts": EVERYTHING.model_dump(),
    "water": {"threshold": 0.625, "core_threshold": 0.75, "core_share": 0.0},
    "trained_on": [{"name": "nothing", "licence": "CC0", "pictures": 1}],
    "metrics": {"iou": None},
    "software": {"torch": torch.__version__},
}
# One block with windows, one that sees everything; 3 does not divide the grid of 64 px.
TINY_VIT = VitSize(width=64, depth=2, heads=2, global_blocks=(1,), window=3)


def noise(batch: int, seed: int = 1, size_px: int = SIZE_PX) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, size_px, size_px, generator=generator)


def parameter_count(*modules: nn.Module | None) -> int:
    return sum(p.numel() for module in modules if module for p in module.parameters())


def shrink_sam(patch: pytest.MonkeyPatch) -> None:
    """Make every SAM a tiny one."""
    patch.setattr(build, "VIT_SIZES", dict.fromkeys("blh", TINY_VIT))


def lively_model(parts: ModelParts) -> LsmAdapter:
    """Return a model in which everything matters, as after training.

    A fresh one is nearly blind: batch norm has no statistics, so signals fade from block to
    block, and the small model, the CNN's adapter and the high-resolution maps say nothing.
    """
    torch.manual_seed(0)
    model = build_model(parts).eval()
    adapter, small = model.encoder.adapter, model.head.small_model
    with torch.no_grad():
        for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.momentum = None  # exact statistics of what comes
            norm.train()
        if adapter is not None:
            nn.init.normal_(adapter.get_parameter("shared.weight"), std=0.2)
        for projection in model.head.mask_decoder.high_res_projections:
            nn.init.normal_(projection.get_parameter("weight"), std=0.1)
        model.encoder.image_encoder(noise(4, seed=2))
        if small is not None:
            _spread(small)
    return model.eval()


def dry_model(parts: ModelParts) -> LsmAdapter:
    """Return a model whose small model finds no water anywhere."""
    model = lively_model(parts)
    if model.head.small_model is not None:
        with torch.no_grad():
            model.head.small_model.get_parameter("pyramid.logits.bias").fill_(-100.0)
    return model


def run(model: LsmAdapter, images: torch.Tensor) -> Segmentation:
    """Segment; the equalised pictures are others, so that mixing the two up shows."""
    with torch.inference_mode():
        segmentation: Segmentation = model(images, images.flip(1).mul(1.5))
    return segmentation


def _spread(small: nn.Module) -> None:
    """Bring the small model's logits to about -2 to 2."""
    logits = small(noise(4, seed=2))
    weight = small.get_parameter("pyramid.logits.weight")
    bias = small.get_parameter("pyramid.logits.bias")
    factor = 1.0 / logits.std()
    weight.mul_(factor)
    bias.sub_(logits.mean()).mul_(factor)
