"""LSM-Adapter: a frozen large model guided by a small one (Song et al., ECCV 2024).

    images, frequencies -> image encoder + HE-Adapt -> Z                      AdaptedEncoder
    images, amplitude, Z -> small model, prompters, combiner, mask decoder -> logits  CoAdapter

The two halves are separate modules, because the daemon runs each on an engine. The FFTs that
make the second input of each stay outside: few runtimes know one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.classwise_decoder import ClassWiseDecoder, split_water
from lsm_monitor.model.high_frequency import high_frequency, low_frequency
from lsm_monitor.model.image_encoder import ImageEncoder
from lsm_monitor.model.mask_decoder import MaskDecoder
from lsm_monitor.model.neck import PyramidNeck
from lsm_monitor.model.parts import (
    ClassWiseParts,
    EncoderAdapterParts,
    EncoderTuningParts,
    SpatialPromptParts,
)
from lsm_monitor.model.preprocess import Preprocessor
from lsm_monitor.model.prompt_combiner import PromptCombiner
from lsm_monitor.model.prompt_encoder import PromptEncoder
from lsm_monitor.model.prompt_matcher import StageMatchers
from lsm_monitor.model.segmentation import Segmentation
from lsm_monitor.model.semantic_prompt import SemanticPrompt, SemanticPrompter
from lsm_monitor.model.small_model import SmallModel
from lsm_monitor.model.spatial_prompt import box_prompt, mask_prompt, point_prompt
from lsm_monitor.model.style_prompt import StylePrompter, amplitude_image


class AdaptedEncoder(nn.Module):
    """Image encoder with its adapter.

    Args:
        image_encoder: Frozen, but for what the trainer thaws by ``tuning``; see
            :class:`~lsm_monitor.model.image_encoder.ImageEncoder`.
        adapter: Makes a prompt for each block from the patch embedding and the high
            frequencies, or matches prompts between the stages; ``None`` adds nothing.
        block_adapters: Adapters inside the blocks; ``None`` runs the blocks as they are.
        tuning: What training changes in the encoder itself; ``None`` for nothing.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        adapter: nn.Module | None,
        block_adapters: nn.ModuleList | None = None,
        tuning: EncoderTuningParts | None = None,
    ) -> None:
        super().__init__()
        self.tuning = tuning
        self.image_encoder = image_encoder.requires_grad_(requires_grad=False)
        self.adapter = adapter
        self.block_adapters = block_adapters

    def forward(
        self, images: torch.Tensor, frequencies: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return the image embeddings.

        Args:
            images: (B, 3, S, S) float32, normalised.
            frequencies: (B, 3, S, S) float32, high or low frequencies of the equalised
                pictures; not looked at without an adapter.

        Returns:
            (B, C, h, w) float32 each, finest first.
        """
        return self.look(images, frequencies)[0]

    def look(
        self, images: torch.Tensor, frequencies: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], Mapping[int, Sequence[torch.Tensor]]]:
        """Return the image embeddings, and the scores of the maps between the stages."""
        encoder: ImageEncoder = self.image_encoder  # type: ignore[assignment]  # it is one
        if isinstance(self.adapter, StageMatchers):
            walked = self.adapter(encoder.frozen_stages(), images)
            return tuple(walked.outputs[-len(encoder.channels) :]), walked.interim
        embedded = encoder.embed_patches(images)
        prompts = () if self.adapter is None else self.adapter(embedded, frequencies)
        return encoder.run_blocks(embedded, prompts, self.block_adapters), {}


class CoAdapter(nn.Module):
    """Everything after the image encoder. Parts that are ``None`` are switched off.

    Args:
        neck: Makes one embedding of an encoder's pyramid; ``None`` for an encoder with one map.
        small_model: The task-specific model.
        spatial: How its logits become a prompt; ``None`` leaves it unused.
        small_model_say: Weight of its logits in the answer. The decoder is the more sure of
            itself of the two, on wet roads too; the paper leaves it the last word.
        semantic_prompter: Tokens from the image embedding.
        style_prompter: A token from the amplitude spectrum.
        combiner: Weighs the prompts.
        prompt_encoder: SAM's.
        mask_decoder: SAM's, or the class-wise one.
    """

    def __init__(
        self,
        *,
        neck: PyramidNeck | None,
        small_model: SmallModel | None,
        spatial: SpatialPromptParts | None,
        small_model_say: float,
        semantic_prompter: SemanticPrompter | None,
        style_prompter: StylePrompter | None,
        combiner: PromptCombiner | None,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
    ) -> None:
        super().__init__()
        self.neck = neck
        self.small_model = small_model
        self.semantic_prompter = semantic_prompter
        self.style_prompter = style_prompter
        self.combiner = combiner
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.spatial = spatial
        self._small_model_say = small_model_say

    @property
    def classwise(self) -> ClassWiseParts | None:
        """The classes of a class-wise decoder; ``None`` where it knows water alone."""
        decoder = self.mask_decoder
        return decoder.parts if isinstance(decoder, ClassWiseDecoder) else None

    def extra_repr(self) -> str:
        """Return what the weights do not tell; a plan of the head is known by it."""
        return f"spatial={self.spatial!r}, small_model_say={self._small_model_say}"

    def forward(
        self,
        images: torch.Tensor,
        amplitude: torch.Tensor,
        maps: Sequence[torch.Tensor],
        *,
        prompted: bool = True,
        small_logits: torch.Tensor | None = None,
    ) -> Segmentation:
        """Segment a batch.

        Args:
            images: (B, 3, S, S) float32, normalised; not looked at without a spatial prompt.
            amplitude: (B, 3, side, side) float32, their amplitude images; not looked at
                without a style prompter.
            maps: The image encoder's embeddings of them, finest first.
            prompted: ``False`` leaves out all prompts: stage one of the training.
            small_logits: (B, 1, h', w') float32, taken instead of the small model's own.
        """
        embedding = maps[0] if self.neck is None else self.neck(maps[-2:])
        finer_maps = () if self.neck is None else maps[:-2]
        tokens: dict[str, torch.Tensor] = {}
        dense = semantic = None
        if prompted:
            if self.spatial is not None and self.small_model is not None:
                if small_logits is None:
                    small_logits = self.small_model(images).float()
                token, dense = self._spatial_prompt(small_logits, embedding)
                if token is not None:
                    tokens["spatial"] = token
            if self.semantic_prompter is not None:
                semantic = self.semantic_prompter(embedding)
                tokens["semantic"] = semantic.tokens
            if self.style_prompter is not None:
                tokens["style"] = self.style_prompter(amplitude)
        batch, channels, *size_hw = embedding.shape
        if prompted and self.combiner is not None:
            sparse, dense = self.combiner(tokens, dense, batch)
        elif tokens:
            sparse = torch.cat(list(tokens.values()), dim=1)
        else:
            sparse = embedding.new_zeros(batch, 0, channels)
        size = (size_hw[0], size_hw[1])
        if dense is None:
            dense = self.prompt_encoder.no_mask(batch, size)
        positions = self.prompt_encoder.dense_positions(size)
        decoded, _ = self.mask_decoder(embedding, positions, sparse, dense, finer_maps)
        return self._segmentation(decoded, small_logits, semantic)

    def _segmentation(
        self,
        decoded: torch.Tensor,
        small_logits: torch.Tensor | None,
        semantic: SemanticPrompt | None,
    ) -> Segmentation:
        if self.classwise is None:
            answer = self._answer(decoded, small_logits)
            return Segmentation(answer, decoded, small_logits, semantic)
        water = self.classwise.water_index
        log_odds, others = split_water(decoded, water)
        answer = self._answer(log_odds, small_logits)
        class_logits = torch.cat([others[:, :water], answer, others[:, water:]], dim=1)
        return Segmentation(answer, decoded, small_logits, semantic, class_logits)

    def _answer(self, decoded: torch.Tensor, small_logits: torch.Tensor | None) -> torch.Tensor:
        """Weigh the decoder's logits with the small model's."""
        if small_logits is None or not self._small_model_say:
            return decoded
        # In training the decoder may answer in bfloat16, and the small model does not.
        decoded = decoded.float()
        small = F.interpolate(small_logits.float(), decoded.shape[-2:], mode="bilinear")
        return torch.lerp(decoded, small, self._small_model_say)

    def _spatial_prompt(
        self, small_logits: torch.Tensor, embedding: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return the spatial prompt as tokens or as dense map."""
        spatial = self.spatial
        assert spatial is not None  # noqa: S101 - the caller has looked
        if spatial.kind == "mask":
            size_hw = (embedding.shape[-2], embedding.shape[-1])
            return None, self.prompt_encoder.embed_mask(mask_prompt(small_logits), size_hw)
        if spatial.kind == "box":
            coordinates, labels = box_prompt(
                small_logits,
                threshold=spatial.threshold,
                per_component=spatial.boxes == "per_component",
            )
        else:
            coordinates, labels = point_prompt(
                small_logits, threshold=spatial.threshold, grid=spatial.grid
            )
        return self.prompt_encoder.embed_sparse(coordinates, labels), None


class LsmAdapter(nn.Module):
    """The whole model: what is trained and stored.

    Attributes:
        preprocessor: What must be done to pictures first.
        adapter_parts: Which frequencies HE-Adapt sees; ``None`` without it.
    """

    def __init__(
        self,
        encoder: AdaptedEncoder,
        head: CoAdapter,
        *,
        preprocessor: Preprocessor,
        adapter_parts: EncoderAdapterParts | None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.preprocessor = preprocessor
        self.adapter_parts = adapter_parts

    def forward(
        self,
        images: torch.Tensor,
        equalised: torch.Tensor,
        *,
        prompted: bool = True,
        small_logits: torch.Tensor | None = None,
    ) -> Segmentation:
        """Segment a batch of what :class:`~lsm_monitor.model.preprocess.Prepared` holds."""
        maps, interim = self.encoder.look(images, self.frequencies(equalised))
        amplitude = self.amplitude(images) if prompted else images
        segmentation: Segmentation = self.head(
            images, amplitude, maps, prompted=prompted, small_logits=small_logits
        )
        return dataclasses.replace(segmentation, interim=interim) if interim else segmentation

    def frequencies(self, equalised: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) equalised pictures -> what the adapter sees of them, the same shape."""
        parts = self.adapter_parts
        if parts is None:
            return equalised
        filter_of = high_frequency if parts.band == "high" else low_frequency
        return filter_of(equalised, parts.removed_share)

    def amplitude(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) pictures -> their amplitude images, (B, 3, side, side) float32.

        Without a style prompter nobody looks at them: the pictures come back.
        """
        if self.head.style_prompter is None:
            return images
        return amplitude_image(images)
