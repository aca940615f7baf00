"""Student, teacher and anchor: one step of WeSAM's self-training.

    anchor    the deployed model, frozen                        looks at the weak view
    teacher   the student's weights, shared or averaged         looks at the weak view
    student   the deployed model with low-rank updates          looks at the strong view

Anchor and teacher are prompted with the weak labels and give labels; only the student learns.
All three stay in evaluation mode: a few pictures of one city must not move the statistics of
batch norm. Pictures go through the model's own preprocessing (the published code leaves out
SAM's normalisation).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.low_rank import add_low_rank, merge_low_rank
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.preprocess import Preprocessor
from lsm_monitor.model.small_model import IGNORED, WATER
from lsm_train.adapt_config import AdaptRecipe
from lsm_train.adapt_losses import contrast_loss, dice_loss, focal_loss
from lsm_train.augment import crop, distort
from lsm_train.data import ImageArray
from lsm_train.hints import constrain, overrule, pseudo_labels
from lsm_train.samples import pad_labels


@dataclass(frozen=True, slots=True, eq=False)
class HintedPicture:
    """A picture with what is said about each of its pixels.

    Attributes:
        name: Stem of the file.
        image: (H, W, 3) uint8, RGB.
        hints: (H, W) uint8, see :mod:`lsm_train.hints`.
    """

    name: str
    image: ImageArray
    hints: ImageArray


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Two views of each picture of a batch; nothing has moved between them.

    Attributes:
        weak: (B, 3, S, S) float32, normalised; cropped and mirrored.
        weak_equalised: (B, 3, S, S) float32, the same after histogram equalisation.
        strong: Like ``weak``, in other light and weather, by another camera.
        strong_equalised: Its equalised pictures.
        hints: (B, S, S) uint8; the letterbox's padding is dry.
        inside: (B, S, S) bool, what is not padding.
    """

    weak: torch.Tensor
    weak_equalised: torch.Tensor
    strong: torch.Tensor
    strong_equalised: torch.Tensor
    hints: torch.Tensor
    inside: torch.Tensor

    @classmethod
    def of(
        cls,
        pictures: Sequence[HintedPicture],
        preprocessor: Preprocessor,
        rng: np.random.Generator,
    ) -> Self:
        """Return views of the pictures."""
        weak, strong, hints, inside = [], [], [], []
        for picture in pictures:
            image, marks = crop(picture.image, picture.hints, preprocessor.input_size_px, rng)
            weak.append(preprocessor(image))
            strong.append(preprocessor(distort(image, rng)))
            letterbox = weak[-1].letterbox
            hints.append(pad_labels(marks, letterbox))
            inside.append(pad_labels(np.full_like(marks, WATER), letterbox) == WATER)
        return cls(
            weak=_stack(each.image for each in weak),
            weak_equalised=_stack(each.equalised for each in weak),
            strong=_stack(each.image for each in strong),
            strong_equalised=_stack(each.equalised for each in strong),
            hints=torch.stack(hints),
            inside=torch.stack(inside),
        )

    def to(self, device: torch.device) -> Views:
        """Return the same on ``device``."""
        return Views(*(getattr(self, field.name).to(device) for field in fields(self)))


def _stack(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(tensors)).contiguous(memory_format=torch.channels_last)


class Adaptation:
    """A model that is being fitted.

    Args:
        model: The deployed model, in evaluation mode; left as it is.
        recipe: What to do.

    Attributes:
        student: The model with its updates.
    """

    def __init__(self, model: LsmAdapter, recipe: AdaptRecipe) -> None:
        self._recipe = recipe
        self._anchor = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.student = copy.deepcopy(model).eval()
        self.learned = add_updates(self.student, recipe.rank)
        self._teacher = self.student
        if recipe.teacher_decay:
            self._teacher = copy.deepcopy(self.student).requires_grad_(requires_grad=False)

    def loss(self, views: Views) -> torch.Tensor:
        """Return the student's loss, a scalar; see :mod:`lsm_train.adapt_losses`."""
        weights = self._recipe.losses
        size_hw = (views.hints.shape[-2], views.hints.shape[-1])
        with torch.no_grad():
            anchor, anchor_map = opinion(
                self._anchor, views.weak, views.weak_equalised, size_hw, views.hints
            )
            teacher, _ = opinion(
                self._teacher, views.weak, views.weak_equalised, size_hw, views.hints
            )
            labels = pseudo_labels(
                teacher.sigmoid().cpu(), views.hints.cpu(), self._recipe.pseudo_labels
            ).to(teacher.device)
            anchor_labels = overrule((anchor > 0.0).to(torch.uint8), views.hints)
            # Student and anchor agree about padding, whatever has become of the ground.
            pooled, anchor_pooled = (
                each.masked_fill(~views.inside, IGNORED) for each in (labels, anchor_labels)
            )
        student, student_map = opinion(
            self.student, views.strong, views.strong_equalised, size_hw
        )
        return (
            weights.focal * focal_loss(student, labels)
            + weights.dice * dice_loss(student, labels)
            + weights.anchor * dice_loss(student, anchor_labels)
            + weights.contrast
            * contrast_loss(student_map, pooled, anchor_map, anchor_pooled, weights.temperature)
        )

    def move_teacher(self, step: int) -> None:
        """Let the averaged teacher follow the student; quickly at first."""
        if self._teacher is self.student:
            return
        decay = min(self._recipe.teacher_decay, (1 + step) / (10 + step))
        teacher = dict(self._teacher.named_parameters())
        with torch.no_grad():
            for name, parameter in self.student.named_parameters():
                if parameter.requires_grad:
                    teacher[name].lerp_(parameter, 1.0 - decay)

    def result(self) -> LsmAdapter:
        """Return the teacher with its updates, which are not yet merged."""
        return self._teacher


def opinion(
    model: LsmAdapter,
    images: torch.Tensor,
    equalised: torch.Tensor,
    size_hw: tuple[int, int],
    hints: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a model's water logits and image embedding.

    Args:
        model: In evaluation mode.
        images: (B, 3, S, S) float32, normalised.
        equalised: (B, 3, S, S) float32.
        size_hw: Size of the logits returned.
        hints: (B, S, S) uint8 that correct the small model before it prompts.

    Returns:
        (B, *size_hw) float32 and (B, C, h, w) float32.
    """
    head = model.head
    maps = model.encoder(images, model.frequencies(equalised))
    small_logits = None
    if hints is not None and head.small_model is not None and head.spatial is not None:
        small_logits = constrain(head.small_model(images).float(), hints)
    segmentation = head(images, model.amplitude(images), maps, small_logits=small_logits)
    embedding = maps[0] if head.neck is None else head.neck(maps[-2:])
    logits = F.interpolate(
        segmentation.logits.float(), size_hw, mode="bilinear", align_corners=False
    )
    return logits[:, 0], embedding


def add_updates(model: LsmAdapter, rank: int) -> list[nn.Parameter]:
    """Give encoder and small model low-rank updates; return them, all else is frozen.

    The small model is no part of WeSAM, but its mask prompts the decoder and it has a say in
    the answer: one that is not fitted would hold the whole back.
    """
    model.requires_grad_(requires_grad=False)
    learned = add_low_rank(model.encoder.image_encoder, rank)
    if model.head.small_model is not None:
        learned += add_low_rank(model.head.small_model, rank)
    return learned


def merge_updates(model: LsmAdapter, *, encoder: bool) -> None:
    """Add the updates into the weights; those of the image encoder only if ``encoder``."""
    if model.head.small_model is not None:
        merge_low_rank(model.head.small_model)
    if encoder:
        merge_low_rank(model.encoder.image_encoder)
