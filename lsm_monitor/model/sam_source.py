"""SAM's modules from the package ``segment-anything`` (Kirillov et al. 2023, Apache-2.0).

Importing ``segment_anything`` itself imports its picture tools and with them torchvision,
which nothing here needs. Its folder ``modeling`` needs torch alone and imports only from
itself, so it is loaded as a package under a name of its own: ``segment_anything`` is left
alone for whoever imports it in full. No other file of ours knows how SAM gets here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

EMBEDDING_CHANNELS = 256  # of the image embedding and of every prompt token

_NAME = "lsm_monitor_sam_modeling"


def _load_modeling() -> ModuleType:
    package = find_spec("segment_anything")  # looks for it, runs nothing
    if package is None or not package.submodule_search_locations:
        msg = "the package 'segment-anything' is not installed; reinstall lsm-monitor"
        raise ModuleNotFoundError(msg, name="segment_anything")
    initial = Path(package.submodule_search_locations[0], "modeling", "__init__.py")
    spec = spec_from_file_location(_NAME, initial)
    if spec is None or spec.loader is None:
        msg = f"{initial}: is not a Python module; reinstall 'segment-anything'"
        raise ImportError(msg, name="segment_anything.modeling")
    modeling = module_from_spec(spec)
    sys.modules[_NAME] = modeling  # its files import from each other through this
    spec.loader.exec_module(modeling)
    return modeling


if TYPE_CHECKING:
    # The package has no types. This is what we use of it; shapes are told where it is used.

    class Attention(nn.Module):
        """One block's attention."""

        num_heads: int
        qkv: nn.Linear
        proj: nn.Linear
        rel_pos_h: nn.Parameter
        rel_pos_w: nn.Parameter

    class Block(nn.Module):
        """One transformer block."""

        norm1: nn.LayerNorm
        attn: Attention
        norm2: nn.LayerNorm
        mlp: nn.Module
        window_size: int

    class ImageEncoderViT(nn.Module):
        """Image encoder."""

        patch_embed: nn.Module
        pos_embed: nn.Parameter
        blocks: Sequence[Block]
        neck: nn.Sequential

    class LayerNorm2d(nn.Module):
        """Layer norm over the channels of each pixel."""

        def __init__(self, num_channels: int) -> None: ...

    class PositionEmbeddingRandom(nn.Module):
        """Fourier features of coordinates."""

        positional_encoding_gaussian_matrix: torch.Tensor

    class PromptEncoder(nn.Module):
        """Prompt encoder."""

        pe_layer: PositionEmbeddingRandom
        point_embeddings: Sequence[nn.Embedding]
        not_a_point_embed: nn.Embedding
        mask_downscaling: nn.Sequential
        no_mask_embed: nn.Embedding

    class TwoWayTransformer(nn.Module):
        """The mask decoder's transformer."""

    class MaskDecoder(nn.Module):
        """Mask decoder."""

        transformer: TwoWayTransformer
        iou_token: nn.Embedding
        mask_tokens: nn.Embedding
        output_upscaling: Sequence[nn.Module]
        output_hypernetworks_mlps: Sequence[nn.Module]
        iou_prediction_head: nn.Module

else:
    _modeling = _load_modeling()
    Attention = _modeling.image_encoder.Attention
    Block = _modeling.image_encoder.Block
    ImageEncoderViT = _modeling.ImageEncoderViT
    LayerNorm2d = _modeling.common.LayerNorm2d
    PromptEncoder = _modeling.PromptEncoder
    TwoWayTransformer = _modeling.TwoWayTransformer
    MaskDecoder = _modeling.MaskDecoder
