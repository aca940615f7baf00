"""What the model says about a batch of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lsm_monitor.model.semantic_prompt import SemanticPrompt


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """What the model says about a batch.

    Attributes:
        logits: (B, 1, h, w) float32, water logits: the answer.
        decoder_logits: What the mask decoder itself says, which is what is trained: the same,
            or (B, C, h, w) of each class.
        small_logits: (B, 1, h', w') float32 of the small model, if it gave a prompt.
        semantic: The semantic prompt, which the prototype loss needs.
        class_logits: (B, C, h, w) float32 of a class-wise decoder, of which the softmax gives
            probabilities; that of water is ``logits``.
    """

    logits: torch.Tensor
    decoder_logits: torch.Tensor
    small_logits: torch.Tensor | None = None
    semantic: SemanticPrompt | None = None
    class_logits: torch.Tensor | None = None
