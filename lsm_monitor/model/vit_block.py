"""One block of SAM's image encoder, with torch's fused attention.

SAM's decomposed relative positions are its additive bias.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch.utils.checkpoint import checkpoint

from lsm_monitor.model.block_adapters import VitBlockAdapter
from lsm_monitor.model.sam_source import Attention, Block


def run_block(
    block: Block, tokens: torch.Tensor, adapter: VitBlockAdapter | None, *, repeat: bool
) -> torch.Tensor:
    """Run one of the package's blocks: (B, h, w, D) -> (B, h, w, D).

    Args:
        block: Which.
        tokens: Its input.
        adapter: Inside the block; ``None`` runs it as it is.
        repeat: Compute it again for the gradients instead of keeping what it computes.
    """
    if repeat and torch.is_grad_enabled():
        again: torch.Tensor = checkpoint(
            _run_block, block, tokens, adapter, use_reentrant=False
        )
        return again
    return _run_block(block, tokens, adapter)


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
