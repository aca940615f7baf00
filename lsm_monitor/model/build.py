"""A model from the names of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from torch import nn

from lsm_monitor.model import mask_rcnn, sinet_v2, u2net
from lsm_monitor.model.block_adapters import cnn_stage_adapters, vit_block_adapters
from lsm_monitor.model.classwise_decoder import ClassWiseDecoder
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.he_adapt import CnnHeAdapt, VitHeAdapt
from lsm_monitor.model.image_encoder import ImageEncoder
from lsm_monitor.model.lsm_adapter import (
    AdaptedEncoder,
    CoAdapter,
    LsmAdapter,
)
from lsm_monitor.model.mask_decoder import MaskDecoder
from lsm_monitor.model.mask_rcnn import MaskRCNN
from lsm_monitor.model.neck import PyramidNeck
from lsm_monitor.model.parts import (
    ClassWiseParts,
    EncoderAdapterParts,
    MatcherParts,
    ModelParts,
)
from lsm_monitor.model.preprocess import (
    IMAGENET_NORMALISATION,
    LITE_NORMALISATION,
    Normalisation,
    Preprocessor,
)
from lsm_monitor.model.prompt_combiner import PromptCombiner
from lsm_monitor.model.prompt_encoder import PromptEncoder
from lsm_monitor.model.prompt_matcher import StageMatchers
from lsm_monitor.model.sam_vit import VIT_SIZES, SamVit
from lsm_monitor.model.semantic_prompt import SemanticPrompter
from lsm_monitor.model.sinet_v2 import SINetV2
from lsm_monitor.model.small_lite import SmallLite
from lsm_monitor.model.small_model import SmallModel
from lsm_monitor.model.style_prompt import StylePrompter
from lsm_monitor.model.u2net import U2Net, U2NetP

TOKEN_CHANNELS = 256  # SAM's prompts and image embedding

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class LargeModel:
    """One choice of image encoder, with what the rest of the model must know of it.

    Attributes:
        encoder: Returns the encoder for an input size in pixels.
        adapter: Returns HE-Adapt for that encoder.
        block_adapters: Returns the adapters inside its blocks.
        normalisation: What the encoder was trained with.
        checkpoint: Name of the official checkpoint that a bundle leaves out; ``None`` when
            the bundle holds all weights.
    """

    encoder: Callable[[int], nn.Module]
    adapter: Callable[[nn.Module], nn.Module]
    block_adapters: Callable[[nn.Module], nn.ModuleList]
    normalisation: Normalisation
    checkpoint: str | None


def _sam(size: str) -> LargeModel:
    return LargeModel(
        encoder=lambda input_size_px: SamVit(VIT_SIZES[size], input_size_px=input_size_px),
        adapter=_vit_adapter,
        block_adapters=_vit_block_adapters,
        normalisation=IMAGENET_NORMALISATION,
        checkpoint=f"sam_vit_{size}",
    )


def _vit_adapter(encoder: nn.Module) -> nn.Module:
    assert isinstance(encoder, SamVit)  # noqa: S101 - the table below
    return VitHeAdapt(encoder.width, encoder.depth, encoder.patch_px)


def _cnn_adapter(encoder: nn.Module) -> nn.Module:
    assert isinstance(encoder, EfficientNetLite0)  # noqa: S101 - the table below
    return CnnHeAdapt(encoder.embedded_channels, encoder.stage_inputs)


def _vit_block_adapters(encoder: nn.Module) -> nn.ModuleList:
    assert isinstance(encoder, SamVit)  # noqa: S101 - the table below
    return vit_block_adapters(encoder.width, encoder.depth)


def _cnn_stage_adapters(encoder: nn.Module) -> nn.ModuleList:
    assert isinstance(encoder, EfficientNetLite0)  # noqa: S101 - the table below
    last = (encoder.channels[-1], encoder.strides[-1])
    return cnn_stage_adapters([*encoder.stage_inputs, last])


IMAGE_ENCODERS: Mapping[str, LargeModel] = MappingProxyType(
    {
        "efficientnet_lite0": LargeModel(
            encoder=lambda _input_size_px: EfficientNetLite0(),
            adapter=_cnn_adapter,
            block_adapters=_cnn_stage_adapters,
            normalisation=LITE_NORMALISATION,
            checkpoint=None,
        ),
        "sam_vit_b": _sam("b"),
        "sam_vit_l": _sam("l"),
        "sam_vit_h": _sam("h"),
    }
)
# Small models by the input size in pixels. To enlarge the picture would cost time, twenty-five
# times as much from 160 px to 800 px, and show nothing more.
SMALL_MODELS: Mapping[str, Callable[[int], SmallModel]] = MappingProxyType(
    {
        "lite": lambda _input_size_px: SmallLite(),
        "mask_rcnn": lambda px: MaskRCNN(size_px=min(px, mask_rcnn.NATIVE_SIZE_PX)),
        "sinet_v2": lambda px: SINetV2(size_px=min(px, sinet_v2.NATIVE_SIZE_PX)),
        "u2net": lambda px: U2Net(size_px=min(px, u2net.NATIVE_SIZE_PX)),
        "u2netp": lambda px: U2NetP(size_px=min(px, u2net.NATIVE_SIZE_PX)),
    }
)


def build_model(parts: ModelParts) -> LsmAdapter:
    """Return the model with random weights.

    Raises:
        ValueError: A part is unknown, or the encoder has no such stage.
    """
    large = look_up("image_encoder", parts.image_encoder, IMAGE_ENCODERS)
    encoder = large.encoder(parts.input_size_px)
    adapter = _build_adapter(parts, large, encoder)
    block_adapters = large.block_adapters(encoder) if parts.block_adapters else None
    preprocessor = Preprocessor(parts.input_size_px, large.normalisation, parts.equalisation)
    return LsmAdapter(
        AdaptedEncoder(encoder, adapter, block_adapters, parts.encoder_tuning),
        _build_head(parts, encoder),
        preprocessor=preprocessor,
        adapter_parts=parts.encoder_adapter
        if isinstance(parts.encoder_adapter, EncoderAdapterParts)
        else None,
    )


def _build_adapter(
    parts: ModelParts, large: LargeModel, encoder: nn.Module
) -> nn.Module | None:
    match parts.encoder_adapter:
        case MatcherParts() as matchers:
            staged: ImageEncoder = encoder  # type: ignore[assignment]  # it is one
            channels = [channels for channels, _ in staged.boundaries]
            return StageMatchers(channels, len(parts.interim_classes), matchers)
        case EncoderAdapterParts():
            return large.adapter(encoder)
        case None:
            return None


def _build_head(parts: ModelParts, encoder: nn.Module) -> CoAdapter:
    pyramid = encoder.channels if isinstance(encoder, EfficientNetLite0) else None
    small_model = None
    if parts.small_model is not None:
        make = look_up("small_model", parts.small_model, SMALL_MODELS)
        small_model = make(parts.input_size_px)
    semantic = parts.semantic_prompt
    prompts = {
        "spatial": parts.spatial_prompt is not None,
        "semantic": semantic is not None,
        "style": parts.style_prompt,
    }
    present = tuple(name for name, is_on in prompts.items() if is_on)
    return CoAdapter(
        neck=None if pyramid is None else PyramidNeck(pyramid[-2:], TOKEN_CHANNELS),
        small_model=small_model,
        spatial=parts.spatial_prompt,
        small_model_say=parts.small_model_say,
        semantic_prompter=None
        if semantic is None
        else SemanticPrompter(
            TOKEN_CHANNELS,
            semantic.prototypes_per_class,
            foreground_only=semantic.foreground_only,
        ),
        style_prompter=StylePrompter(TOKEN_CHANNELS) if parts.style_prompt else None,
        combiner=PromptCombiner(present, TOKEN_CHANNELS) if parts.prompt_combiner else None,
        prompt_encoder=PromptEncoder(),
        mask_decoder=_build_decoder(parts.decoder, pyramid),
    )


def _build_decoder(
    classwise: ClassWiseParts | None, pyramid: tuple[int, ...] | None
) -> MaskDecoder:
    high_res_channels = None if pyramid is None else (pyramid[0], pyramid[1])
    if classwise is None:
        return MaskDecoder(high_res_channels)
    return ClassWiseDecoder(classwise, high_res_channels, separable=pyramid is not None)


def official_checkpoint(parts: ModelParts) -> str | None:
    """Return the checkpoint that is the model's encoder, and that a bundle leaves out.

    ``None`` where there is none, and for a tuned encoder, which is no longer the published one.
    """
    return None if parts.encoder_tuning else IMAGE_ENCODERS[parts.image_encoder].checkpoint


def look_up(role: str, name: str, known: Mapping[str, Choice]) -> Choice:
    """Return ``known[name]``.

    Raises:
        ValueError: There is no such name; the text lists the known ones.
    """
    if name not in known:
        msg = f"unknown {role} {name!r}; known are {', '.join(known)}"
        raise ValueError(msg)
    return known[name]
