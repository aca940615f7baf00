"""What each stage of the training learns, and from which loss (Sec. 3.5, Algorithm 1).

    small      the small model, by its own loss
    large      the encoder's adapter and the mask decoder, without prompts: Eq. 9; with
               ``encoder_tuning`` the image encoder itself, too
    joint      mask decoder, prompt encoder, Triple-S prompters, combiner: Eq. 10
    one_stage  everything but the image encoder, if that is not tuned, at once: Eq. 8

A stage is a module whose forward pass is its loss, so that it can be trained by one process
or by many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from lsm_monitor.model.classwise_decoder import ClassWiseDecoder
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import FullTuningParts
from lsm_monitor.model.prompt_matcher import StageMatchers
from lsm_monitor.model.semantic_prompt import SemanticPrompt
from lsm_monitor.model.small_model import SmallModel
from lsm_train.class_loss import WATER_ALONE, ClassTeaching, class_loss, interim_loss
from lsm_train.config import LossesSection, PromptNoiseSection
from lsm_train.losses import large_loss
from lsm_train.prompt_noise import disturb
from lsm_train.prototypes import prototype_loss, update_prototypes
from lsm_train.surfaces import water_labels
from lsm_train.tuning import tuned_parameters

StageName = Literal["small", "large", "joint", "one_stage"]
Branch = Literal["small", "large", "whole"]

# What a stage's checkpoint holds, by the names in LsmAdapter; tuned parameters come on top.
TRAINED: dict[StageName, tuple[str, ...]] = {
    "small": ("head.small_model",),
    "large": (
        "encoder.adapter",
        "encoder.block_adapters",
        "head.neck",
        "head.mask_decoder",
        "head.prompt_encoder",
    ),
    "joint": (
        "head.mask_decoder",
        "head.prompt_encoder",
        "head.semantic_prompter",
        "head.style_prompter",
        "head.combiner",
    ),
    "one_stage": ("encoder.adapter", "encoder.block_adapters", "head"),
}
# Which stages teach the encoder, or what adapts it.
_TEACHES_ENCODER: frozenset[StageName] = frozenset({"large", "one_stage"})
# The branch of the model that a stage's validation looks at.
BRANCH: dict[StageName, Branch] = {
    "small": "small",
    "large": "large",
    "joint": "whole",
    "one_stage": "whole",
}


class Stage(nn.Module):
    """Loss of one stage.

    Args:
        name: Which stage.
        model: Is trained in place; everything that the stage does not learn is frozen.
        weights: Of the loss's terms.
        prompt_noise: How the small model's mask is disturbed, if at all.
        teaching: What a class-wise decoder is taught with, and the semantic maps between the
            encoder's stages; ``None`` for water alone.
    """

    def __init__(
        self,
        name: StageName,
        model: LsmAdapter,
        weights: LossesSection,
        prompt_noise: PromptNoiseSection | None = None,
        teaching: ClassTeaching | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.model = model
        self._weights = weights
        self._prompt_noise = prompt_noise
        self._teaching = teaching
        self._interim_teaching = teaching or WATER_ALONE
        self._seen: list[tuple[SemanticPrompt, torch.Tensor]] = []
        wanted = {id(parameter) for parameter in _learned(name, model)}
        for parameter in model.parameters():
            parameter.requires_grad = id(parameter) in wanted

    def forward(
        self, images: torch.Tensor, equalised: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Args:
            images: (B, 3, S, S) float32, normalised.
            equalised: (B, 3, S, S) float32, the same after histogram equalisation.
            labels: (B, S, S) uint8 of :mod:`lsm_train.surfaces`.
        """
        all_labels, labels = labels, water_labels(labels)
        if self.name == "small":
            return _small_model(self.model).loss(images, labels)
        segmentation = self.model(
            images,
            equalised,
            prompted=self.name != "large",
            small_logits=self._disturbed_small_logits(images),
        )
        if self._teaching is None:
            loss = large_loss(segmentation.decoder_logits, labels, self._weights)
        else:
            decoded = segmentation.decoder_logits
            loss = class_loss(decoded, all_labels, self._teaching, self._weights)
        if self.name != "joint":  # the matchers are frozen there
            loss = loss + interim_loss(
                segmentation.interim, all_labels, self._interim_teaching, self._weights.interim
            )
        if segmentation.semantic is not None:
            loss = loss + prototype_loss(segmentation.semantic, labels, self._weights)
            semantic = SemanticPrompt(*(part.detach() for part in segmentation.semantic))
            self._seen.append((semantic, labels))
        if self.name == "one_stage" and self.model.head.small_model is not None:
            small = self.model.head.small_model.loss(images, labels)
            loss = loss + self._weights.small * small
        return loss

    def _disturbed_small_logits(self, images: torch.Tensor) -> torch.Tensor | None:
        small_model = self.model.head.small_model
        spatial = self.model.head.spatial
        if self._prompt_noise is None or small_model is None or spatial is None:
            return None
        return disturb(small_model(images).float(), self._prompt_noise, kind=spatial.kind)

    @property
    def trains_in_bf16(self) -> bool:
        """Whether the stage's forward pass may run in bfloat16."""
        small_model = self.model.head.small_model
        if self.name in _TEACHES_ENCODER:
            # In PyTorch 2 on a CPU a dilated depthwise convolution's gradient is NaN in it.
            matches = isinstance(self.model.encoder.adapter, StageMatchers)
            # The cosine with float32's gradient is 0.70 to 0.94 where the first layers learn
            # (EfficientNet-Lite0, 4 batches of 6); of low-rank updates it is 0.94 to 0.97.
            if matches or isinstance(self.model.encoder.tuning, FullTuningParts):
                return False
        learns_small = self.name in {"small", "one_stage"}
        return small_model is None or small_model.trains_in_bf16 or not learns_small

    def finish_step(self) -> None:
        """Move the prototypes, after the weights were updated."""
        prompter = self.model.head.semantic_prompter
        if self._seen and prompter is not None:
            semantics, labels = zip(*self._seen, strict=True)
            together = SemanticPrompt(
                *(torch.cat(parts) for parts in zip(*semantics, strict=True))
            )
            update_prototypes(prompter, together, torch.cat(labels))
            self._seen.clear()

    def set_training_mode(self) -> None:
        """Put what is learned into training mode, and nothing else.

        A frozen batch norm in training mode would go on changing its statistics. A tuned
        encoder's keeps them, too, as the small model's does: a batch is a few pictures, many of
        one street, and the statistics are of ImageNet's million. Its scale and shift learn.
        """
        self.model.eval()
        for prefix in TRAINED[self.name]:
            module = _submodule(self.model, prefix)
            if module is not None:
                module.train()


def _learned(name: StageName, model: LsmAdapter) -> Iterator[nn.Parameter]:
    """Yield the parameters that a stage learns."""
    head = model.head
    frozen_for_good = {id(p) for p in _frozen_features(model)}
    if name in _TEACHES_ENCODER:
        yield from tuned_parameters(model).values()
    modules: list[nn.Module | None]
    if name == "small":
        modules = [head.small_model]
    elif name == "large":
        modules = [
            model.encoder.adapter,
            model.encoder.block_adapters,
            head.neck,
            head.mask_decoder,
        ]
        yield from head.prompt_encoder.no_mask_embed.parameters()
    else:
        modules = [
            head.mask_decoder,
            head.prompt_encoder,
            head.semantic_prompter,
            head.style_prompter,
            head.combiner,
        ]
        if name == "one_stage":
            modules += [
                model.encoder.adapter,
                model.encoder.block_adapters,
                head.neck,
                head.small_model,
            ]
    for module in modules:
        if module is not None:
            yield from (p for p in module.parameters() if id(p) not in frozen_for_good)


def _frozen_features(model: LsmAdapter) -> Iterator[nn.Parameter]:
    if model.head.small_model is not None:
        yield from model.head.small_model.frozen_parameters()
    if isinstance(model.head.mask_decoder, ClassWiseDecoder):
        yield from model.head.mask_decoder.idle_parameters()


def trained_state(name: StageName, model: LsmAdapter) -> dict[str, torch.Tensor]:
    """Return the tensors that a stage's checkpoint holds."""
    prefixes = tuple(f"{prefix}." for prefix in TRAINED[name])
    tuned = tuned_parameters(model).keys() if name in _TEACHES_ENCODER else frozenset()
    return {
        key: value
        for key, value in model.state_dict().items()
        if key.startswith(prefixes) or key in tuned
    }


def segment(
    model: LsmAdapter, branch: Branch, images: torch.Tensor, equalised: torch.Tensor
) -> torch.Tensor:
    """Return the logits of the whole model, or of the large or the small one alone.

    Args:
        model: In evaluation mode.
        branch: ``large`` is the mask decoder without prompts.
        images: (B, 3, S, S) float32, normalised.
        equalised: (B, 3, S, S) float32.

    Returns:
        (B, 1, h, w) float32.
    """
    if branch == "small":
        small_logits: torch.Tensor = _small_model(model)(images)
        return small_logits
    segmentation = model(images, equalised, prompted=branch == "whole")
    logits: torch.Tensor = segmentation.logits
    return logits


def _small_model(model: LsmAdapter) -> SmallModel:
    if model.head.small_model is None:
        msg = "the model has no small model"
        raise ValueError(msg)
    return model.head.small_model


def _submodule(model: LsmAdapter, path: str) -> nn.Module | None:
    module: nn.Module | None = model
    for name in path.split("."):
        module = getattr(module, name)
    return module
