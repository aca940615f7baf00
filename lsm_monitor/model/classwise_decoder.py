"""Class-wise mask decoder (ClassWise-SAM-Adapter: Pu et al., JSTARS 2025).

SAM's decoder upscales what its transformer gives and multiplies it with one vector: one mask.
Here the image embedding from before the transformer is upscaled by the same weights, both are
joined, and a class head makes 32 channels of each class, which the same vector turns into one
map for each class:

    U = [Upscale(Transformer(Z)), Upscale(Z)]                          64 channels at stride 4
    H = GELU(Conv7x7 s2(GELU(LN(ConvTranspose2x2 s2(U)))))             32 C channels at stride 4
    logits_c = v . H_c,  v from mask token 0

Written from the description, for batches: the published code drops all pictures but the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lsm_monitor.model.mask_decoder import MaskDecoder
from lsm_monitor.model.parts import ClassWiseParts
from lsm_monitor.model.sam_source import EMBEDDING_CHANNELS, LayerNorm2d

_UPSCALED = EMBEDDING_CHANNELS // 8
_KERNEL_PX = 7


class ClassWiseDecoder(MaskDecoder):
    """Image embedding and prompts -> logits of each class.

    With five classes the class head adds 518,496 parameters to SAM's 4,058,340.

    Args:
        parts: The classes.
        high_res_channels: As in :class:`~lsm_monitor.model.mask_decoder.MaskDecoder`.
        separable: The 7x7 convolution, most of the decoder's arithmetic, is depthwise and
            followed by one of 1x1, as everywhere in an encoder made for CPUs.

    Attributes:
        parts: The classes.
        class_head: What SAM does not have.
    """

    def __init__(
        self,
        parts: ClassWiseParts,
        high_res_channels: tuple[int, int] | None = None,
        *,
        separable: bool = False,
    ) -> None:
        super().__init__(high_res_channels)
        joined, outputs = 2 * _UPSCALED, _UPSCALED * len(parts.classes)
        self.parts = parts
        self.class_head = nn.Sequential(
            nn.ConvTranspose2d(joined, joined, 2, 2),
            LayerNorm2d(joined),
            nn.GELU(),
            *_wide(joined, outputs, separable=separable),
            nn.GELU(),
        )

    def extra_repr(self) -> str:
        """Return what the weights do not tell."""
        return f"{self.parts!r}"

    def idle_parameters(self) -> Sequence[nn.Parameter]:
        """Return what SAM's checkpoint has and one token's maps do not need."""
        others = [*self.output_hypernetworks_mlps][1:]
        return [p for part in (*others, self.iou_prediction_head) for p in part.parameters()]

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor,
        high_resolution: Sequence[torch.Tensor] = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the maps of each picture; arguments as in ``MaskDecoder.forward``.

        Returns:
            (B, C, 4h, 4w) float32 logits, unbounded, a softmax of which gives probabilities,
            and (B, 1) float32, SAM's guess of an IoU, which nobody trains here.
        """
        tokens, pixels = self._transform(embeddings, positions, sparse, dense, high_resolution)
        upscaled = torch.cat(
            [self._upscale(each, high_resolution) for each in (pixels, embeddings)], dim=1
        )
        head = self.class_head(upscaled)
        batch, _, height, width = head.shape
        vector = self.output_hypernetworks_mlps[0](tokens[:, 1])
        by_class = head.view(batch, _UPSCALED, -1, height, width)
        logits = torch.einsum("bd,bdchw->bchw", vector, by_class)
        return logits, self.iou_prediction_head(tokens[:, 0])[:, :1]


def split_water(class_logits: torch.Tensor, water: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return water's log-odds and the logits of what is there when there is no water.

    With both in a row again, nothing has changed for a softmax; but the log-odds may be judged,
    resized and weighed as a water model's logits.

    Args:
        class_logits: (B, C, h, w) float.
        water: Which of the classes is water.

    Returns:
        (B, 1, h, w) float32, of which the sigmoid is water's probability, and
        (B, C - 1, h, w) float32, the others' log-probabilities on dry ground.
    """
    class_logits = class_logits.float()
    others = torch.cat([class_logits[:, :water], class_logits[:, water + 1 :]], dim=1)
    total = torch.logsumexp(others, dim=1, keepdim=True)
    return class_logits[:, water : water + 1] - total, others - total


def _wide(inputs: int, outputs: int, *, separable: bool) -> list[nn.Module]:
    """Return the convolution of 7x7, stride 2."""
    padding = _KERNEL_PX // 2
    if not separable:
        return [nn.Conv2d(inputs, outputs, _KERNEL_PX, 2, padding)]
    return [
        nn.Conv2d(inputs, inputs, _KERNEL_PX, 2, padding, groups=inputs),
        nn.Conv2d(inputs, outputs, 1),
    ]
