"""Dynamic Prompt Combiner: learned weights for the prompts (Sec. 3.4, Eq. 6).

    e_P = Concat(w1 * e_Spa, w2 * e_Sem, w3 * e_Sty, e_Ada)

In mask mode e_Spa is no token but a map that is added to the image embedding; it is weighted
all the same, and the rest is concatenated.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

PROMPTS = ("spatial", "semantic", "style")


class PromptCombiner(nn.Module):
    """One weight for each channel of each prompt, and a token of its own.

    The weights start at one: at first every prompt passes as it is.

    Args:
        prompts: Which of ``PROMPTS`` there are. Weights are named after them, because the
            paper's formula and its figure number them differently.
        channels: D, length of a token.
    """

    def __init__(self, prompts: tuple[str, ...], channels: int) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name: torch.ones(channels) for name in prompts})
        self.adaptive = nn.Parameter(torch.empty(1, channels))
        nn.init.normal_(self.adaptive, std=0.02)

    def forward(
        self, tokens: Mapping[str, torch.Tensor], dense: torch.Tensor | None, batch: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the weighted prompts.

        Args:
            tokens: (B, N, D) float32 by prompt, those that are tokens.
            dense: (B, D, h, w) float32, the spatial prompt in mask mode, or ``None``.
            batch: B.

        Returns:
            (B, sum of N + 1, D) tokens, the adaptive one last; the weighted dense prompt.
        """
        weighted = [self.weights[name] * token for name, token in tokens.items()]
        weighted.append(self.adaptive.expand(batch, 1, -1))
        if dense is not None:
            dense = self.weights["spatial"][:, None, None] * dense
        return torch.cat(weighted, dim=1), dense
