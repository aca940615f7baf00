"""SAM's image encoder (Kirillov et al. 2023, arXiv 2304.02643), open before each block.

The parameters are those of the package ``segment-anything``, by name and shape, so official
checkpoints load strictly. What differs is how it runs: prompts can be added before each block
(HE-Adapt, LSM-Adapter Sec. 3.1), and attention is torch's fused one, with SAM's decomposed
relative positions as additive bias.

SAM was trained at 1024 px. For another size its position tables are interpolated once, when
they are loaded: absolute positions bicubically with antialiasing, the relative positions of
global blocks linearly, as SAM does itself. Windows keep theirs: a window stays 14 patches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn
from torch.utils.checkpoint import checkpoint

from lsm_monitor.model.block_adapters import VitBlockAdapter
from lsm_monitor.model.sam_source import EMBEDDING_CHANNELS, Attention, Block, ImageEncoderViT

_PATCH_PX = 16
_LAYER_NORM_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class VitSize:
    """Dimensions of a vision transformer.

    Attributes:
        width: Channels D of its tokens.
        depth: Number of its blocks N.
        heads: Attention heads; divides ``width``.
        global_blocks: Indices of the blocks that attend to the whole picture.
        window: Side of the windows of all other blocks, in patches.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    window: int = 14


VIT_SIZES: Mapping[str, VitSize] = MappingProxyType(
    {
        "b": VitSize(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
        "l": VitSize(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
        "h": VitSize(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
    }
)


class SamVit(ImageEncoderViT):
    """Image encoder with one map, at stride 16.

    Args:
        size: Dimensions; those of SAM are in ``VIT_SIZES``.
        input_size_px: Side S of its square input; divisible by 16.

    Attributes:
        width: Channels D of its tokens.
        depth: Number of its blocks N.
        patch_px: Side of a patch.
        channels: Channels of each map, finest first.
        strides: Stride of each map.
        checkpoint_blocks: Compute blocks twice in training instead of keeping what they
            compute: a third more time for a fraction of the memory.

    Raises:
        ValueError: ``input_size_px`` is not a positive multiple of 16.
    """

    channels: tuple[int, ...] = (EMBEDDING_CHANNELS,)
    strides: tuple[int, ...] = (_PATCH_PX,)
    patch_px: int = _PATCH_PX

    def __init__(self, size: VitSize, input_size_px: int = 1024) -> None:
        if input_size_px < _PATCH_PX or input_size_px % _PATCH_PX:
            msg = f"input_size_px must be a positive multiple of 16, got {input_size_px}"
            raise ValueError(msg)
        super().__init__(
            img_size=input_size_px,
            patch_size=_PATCH_PX,
            embed_dim=size.width,
            depth=size.depth,
            num_heads=size.heads,
            out_chans=EMBEDDING_CHANNELS,
            norm_layer=partial(nn.LayerNorm, eps=_LAYER_NORM_EPSILON),
            use_rel_pos=True,
            window_size=size.window,
            global_attn_indexes=size.global_blocks,
        )
        self.width = size.width
        self.depth = size.depth
        self.checkpoint_blocks = False

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the image embedding without prompts, as SAM does.

        Args:
            images: (B, 3, S, S) float32, normalised RGB.

        Returns:
            (B, 256, S/16, S/16) float32, as the only item.
        """
        return self.run_blocks(self.embed_patches(images))

    def embed_patches(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) float32 -> (B, S/16, S/16, D) float32, positions not yet added."""
        embedded: torch.Tensor = self.patch_embed(images)
        # A strided view would change its layout when a prompt is added, and with it the
        # rounding: an adapter that adds nothing must change nothing.
        return embedded.contiguous()

    def run_blocks(
        self,
        embedded: torch.Tensor,
        prompts: Sequence[torch.Tensor | None] = (),
        adapters: nn.ModuleList | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the image embedding.

        Args:
            embedded: (B, S/16, S/16, D) float32, from :meth:`embed_patches`.
            prompts: N times (B, S/16, S/16, D) float32, each added before its block, or
                ``None`` where there is nothing to add; empty for no prompts at all.
            adapters: :class:`~lsm_monitor.model.block_adapters.VitBlockAdapter` of each block.

        Returns:
            (B, 256, S/16, S/16) float32, as the only item.

        Raises:
            ValueError: The grid is not that of ``input_size_px``, or there is not one prompt
                for each block.
        """
        if embedded.shape[1:] != self.pos_embed.shape[1:]:
            must, found = tuple(self.pos_embed.shape[1:]), tuple(embedded.shape[1:])
            msg = f"a grid of {must} is needed, got {found}; build for this input_size_px"
            raise ValueError(msg)
        if prompts and len(prompts) != self.depth:
            msg = f"{self.depth} prompts are needed, one for each block, got {len(prompts)}"
            raise ValueError(msg)
        keep = not (self.checkpoint_blocks and torch.is_grad_enabled())
        tokens = embedded + self.pos_embed
        nothing = [None] * self.depth
        for block, prompt, adapter in zip(
            self.blocks, prompts or nothing, adapters or nothing, strict=True
        ):
            if prompt is not None:
                tokens = prompt + tokens
            assert adapter is None or isinstance(adapter, VitBlockAdapter)  # noqa: S101 - built so
            if keep:
                tokens = _run_block(block, tokens, adapter)
            else:
                tokens = checkpoint(_run_block, block, tokens, adapter, use_reentrant=False)
        embedding: torch.Tensor = self.neck(tokens.permute(0, 3, 1, 2))
        return (embedding,)

    def fit_positions(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the encoder's ``state`` with position tables of this input size.

        Args:
            state: State of an encoder of the same dimensions and any input size.
        """
        return {name: self._fit_position(name, table) for name, table in state.items()}

    def _fit_position(self, name: str, table: torch.Tensor) -> torch.Tensor:
        if name == "pos_embed" and table.ndim == self.pos_embed.ndim:
            side = self.pos_embed.shape[1]
            return table if table.shape[1] == side else _resize_grid(table, side)
        match = re.fullmatch(r"blocks\.(\d+)\.attn\.rel_pos_[hw]", name)
        if match is None or int(match[1]) >= self.depth or table.ndim != 2:  # noqa: PLR2004
            return table
        block = self.blocks[int(match[1])]
        length = block.attn.rel_pos_h.shape[0]
        is_global = block.window_size == 0
        return _resize_line(table, length) if is_global and len(table) != length else table


def _run_block(
    block: Block, tokens: torch.Tensor, adapter: VitBlockAdapter | None
) -> torch.Tensor:
    """Run one of the package's blocks: (B, h, w, D) -> (B, h, w, D)."""
    normalised = block.norm1(tokens)
    if block.window_size > 0:
        windows = _split(normalised, block.window_size)
        attended = _join(_attend(block.attn, windows), tokens.shape)
    else:
        attended = _attend(block.attn, normalised)
    if adapter is not None:  # token by token, so it may as well follow the windows' joining
        attended = adapter.attended(attended)
    tokens = tokens + attended
    normalised = block.norm2(tokens)
    result: torch.Tensor = tokens + block.mlp(normalised)
    return result if adapter is None else result + adapter.beside_mlp(normalised)


def _attend(attention: Attention, tokens: torch.Tensor) -> torch.Tensor:
    """Let all tokens of a square attend to each other: (B, h, h, D) -> (B, h, h, D)."""
    batch, side = tokens.shape[:2]
    qkv = attention.qkv(tokens).view(batch, side * side, 3, attention.num_heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, h * h, D / heads)
    # SAM adds to the logit of query (i, j) and key (k, l):  q . R_h[i - k] + q . R_w[j - l]
    grid = query.reshape(batch, attention.num_heads, side, side, -1)
    by_row = torch.einsum("bnijc,ikc->bnijk", grid, _relative(attention.rel_pos_h, side))
    by_column = torch.einsum("bnijc,jlc->bnijl", grid, _relative(attention.rel_pos_w, side))
    bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    result: torch.Tensor = attention.proj(attended.transpose(1, 2).reshape(tokens.shape))
    return result


def _relative(table: torch.Tensor, side: int) -> torch.Tensor:
    """(2 h - 1, c), one row for each distance -> (h, h, c), one for each query and key."""
    index = torch.arange(side, device=table.device)
    return table[index[:, None] - index[None, :] + side - 1]


def _split(tokens: torch.Tensor, window: int) -> torch.Tensor:
    """(B, h, w, D) -> (B * windows, window, window, D), zeros right and below."""
    batch, height, width, channels = tokens.shape
    rows, columns = -(-height // window), -(-width // window)
    padded = F.pad(tokens, (0, 0, 0, columns * window - width, 0, rows * window - height))
    grid = padded.view(batch, rows, window, columns, window, channels).transpose(2, 3)
    return grid.reshape(-1, window, window, channels)


def _join(windows: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Undo :func:`_split`: (B * windows, window, window, D) -> ``shape``, (B, h, w, D)."""
    batch, height, width, channels = shape
    window = windows.shape[1]
    rows, columns = -(-height // window), -(-width // window)
    grid = windows.view(batch, rows, columns, window, window, channels).transpose(2, 3)
    padded = grid.reshape(batch, rows * window, columns * window, channels)
    return padded[:, :height, :width]


def _resize_grid(table: torch.Tensor, side: int) -> torch.Tensor:
    """(1, g, g, D) -> (1, side, side, D)."""
    maps = table.permute(0, 3, 1, 2)
    resized = F.interpolate(maps, (side, side), mode="bicubic", antialias=True)
    return resized.permute(0, 2, 3, 1)


def _resize_line(table: torch.Tensor, length: int) -> torch.Tensor:
    """(L, c) -> (length, c)."""
    return F.interpolate(table.T[None], length, mode="linear")[0].T
