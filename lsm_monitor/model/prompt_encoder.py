"""SAM's prompt encoder (Kirillov et al. 2023), for batches of pictures of any size.

The parameters are those of the package ``segment-anything``, by name and shape. Its own
methods are tied to one input size and to pixels of that input; these here take shares of the
input and the size of the embedding at hand, so that a model trained at one size runs at
another. Nothing is kept between calls.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_monitor.model import sam_source
from lsm_monitor.model.sam_source import EMBEDDING_CHANNELS

_MASK_SCALE = 4  # SAM's mask input has four times the embedding's side
_MASK_CHANNELS = 16
_PADDING = -1


class PromptEncoder(sam_source.PromptEncoder):
    """Turns points, box corners and masks into embeddings; 6,220 parameters."""

    def __init__(self) -> None:
        # Both sizes are used only by the package's own methods, which nobody calls.
        super().__init__(
            embed_dim=EMBEDDING_CHANNELS,
            image_embedding_size=(64, 64),
            input_image_size=(1024, 1024),
            mask_in_chans=_MASK_CHANNELS,
        )

    def embed_sparse(self, coordinates: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return one token for each point.

        Args:
            coordinates: (B, N, 2) float32, x before y, [0, 1] of the input square. SAM's
                pixel (column, row) is ((column + 0.5) / S, (row + 0.5) / S).
            labels: (B, N) integer: -1 no point (padding), 0 negative, 1 positive, 2 top-left
                corner of a box, 3 its bottom-right corner.

        Returns:
            (B, N, 256) float32. Padding's token does not depend on its coordinates.
        """
        kinds = torch.cat(
            [self.not_a_point_embed.weight, *(kind.weight for kind in self.point_embeddings)]
        )
        is_point = (labels != _PADDING)[..., None]
        return self._encode(coordinates) * is_point + F.embedding(labels.long() + 1, kinds)

    def embed_mask(self, logits: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
        """Return the dense embedding of a mask.

        Args:
            logits: (B, 1, h, w) float32 of any size; resized bilinearly to what SAM expects.
            size_hw: Size (height, width) of the image embedding.

        Returns:
            (B, 256, height, width) float32.
        """
        height, width = size_hw
        logits = F.interpolate(
            logits, (_MASK_SCALE * height, _MASK_SCALE * width), mode="bilinear"
        )
        embedded: torch.Tensor = self.mask_downscaling(logits)
        return embedded

    def no_mask(self, batch: int, size_hw: tuple[int, int]) -> torch.Tensor:
        """Return the dense embedding of "there is no mask": (B, 256, h, w) float32, a view."""
        weight: torch.Tensor = self.no_mask_embed.weight
        return weight.view(1, -1, 1, 1).expand(batch, -1, *size_hw)

    def dense_positions(self, size_hw: tuple[int, int]) -> torch.Tensor:
        """Return where each cell of the image embedding is: (1, 256, h, w) float32."""
        height, width = size_hw
        device = self.no_mask_embed.weight.device
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        return self._encode(centres).permute(2, 0, 1)[None]

    def _encode(self, coordinates: torch.Tensor) -> torch.Tensor:
        """(..., 2) in [0, 1] -> (..., 256): random Fourier features."""
        matrix: torch.Tensor = self.pe_layer.positional_encoding_gaussian_matrix
        # Sines of up to several turns: in bfloat16 they would be off by up to 0.13 rad.
        with torch.autocast(matrix.device.type, enabled=False):
            angles = 2 * math.pi * ((2 * coordinates.float() - 1) @ matrix.float())
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
