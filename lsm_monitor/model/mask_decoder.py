"""SAM's mask decoder (Kirillov et al. 2023), for batches of pictures.

The parameters are those of the package ``segment-anything``, by name and shape. Its own
``forward`` decodes one picture with many prompts and repeats the picture for each of them; here
every picture has prompts of its own. One mask comes out, SAM's first: the one for prompts that
leave no doubt. An encoder with maps at strides 4 and 8 can give them, added while upscaling as
in SAM 2 (Ravi et al. 2024, arXiv 2408.00714).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lsm_monitor.model import sam_source
from lsm_monitor.model.sam_source import EMBEDDING_CHANNELS, TwoWayTransformer


class MaskDecoder(sam_source.MaskDecoder):
    """Image embedding and prompts -> water logits; 4,058,340 parameters, as SAM's.

    Args:
        high_res_channels: Channels of the encoder's maps at strides 4 and 8, if it has them.
            Their projections are zero at the start, so the decoder starts as SAM's.

    Attributes:
        high_res_projections: What SAM does not have; empty without ``high_res_channels``.
    """

    def __init__(self, high_res_channels: tuple[int, int] | None = None) -> None:
        super().__init__(
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=EMBEDDING_CHANNELS, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=EMBEDDING_CHANNELS,
        )
        self.high_res_projections = nn.ModuleList()
        if high_res_channels is not None:
            at_4, at_8 = high_res_channels
            self.high_res_projections.append(_zero_projection(at_4, EMBEDDING_CHANNELS // 8))
            self.high_res_projections.append(_zero_projection(at_8, EMBEDDING_CHANNELS // 4))

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor,
        high_resolution: Sequence[torch.Tensor] = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one mask for each picture.

        Args:
            embeddings: (B, 256, h, w) float32, from the image encoder.
            positions: (1, 256, h, w) float32, from ``PromptEncoder.dense_positions``.
            sparse: (B, N, 256) float32; N may be 0.
            dense: (B, 256, h, w) float32.
            high_resolution: (B, C4, 4h, 4w) and (B, C8, 2h, 2w) float32 for a decoder made
                with ``high_res_channels``.

        Returns:
            (B, 1, 4h, 4w) float32 logits, unbounded, and (B, 1) float32, the IoU that the
            decoder expects its mask to have.

        Raises:
            ValueError: There are more or fewer high-resolution maps than projections.
        """
        tokens, pixels = self._transform(embeddings, positions, sparse, dense, high_resolution)
        upscaled = self._upscale(pixels, high_resolution)
        weights = self.output_hypernetworks_mlps[0](tokens[:, 1])
        logits = torch.einsum("bc,bchw->bhw", weights, upscaled)[:, None]
        return logits, self.iou_prediction_head(tokens[:, 0])[:, :1]

    def _transform(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor,
        high_resolution: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Let tokens and pixels see each other: (B, 5 + N, 256) and (B, 256, h, w)."""
        if len(high_resolution) != len(self.high_res_projections):
            must, found = len(self.high_res_projections), len(high_resolution)
            msg = f"{must} high-resolution maps are needed, got {found}"
            raise ValueError(msg)
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(embeddings.shape[0], -1, -1), sparse], dim=1)
        tokens, pixels = self.transformer(embeddings + dense, positions, tokens)
        return tokens, pixels.transpose(1, 2).view(embeddings.shape)

    def _upscale(
        self, pixels: torch.Tensor, high_resolution: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """(B, 256, h, w) -> (B, 32, 4h, 4w)."""
        to_stride_8, norm, activation, to_stride_4, last_activation = self.output_upscaling
        fine = [
            projection(features)
            for projection, features in zip(
                self.high_res_projections, high_resolution, strict=True
            )
        ]
        at_8 = to_stride_8(pixels)
        at_8 = activation(norm(at_8 + fine[1] if fine else at_8))
        at_4 = to_stride_4(at_8)
        upscaled: torch.Tensor = last_activation(at_4 + fine[0] if fine else at_4)
        return upscaled


def _zero_projection(inputs: int, outputs: int) -> nn.Conv2d:
    # Without bias: the convolution whose output it is added to has one.
    projection = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.zeros_(projection.weight)
    return projection
