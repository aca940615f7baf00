"""Which camera of the farm is broken when, and how: the same for the same seed, everywhere.

Every camera is broken for the same share of each period, and the cameras' periods are shifted
evenly against each other: so at any time the wanted share of all cameras is broken, and always
others. What breaks is drawn anew each time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a camera is healthy, or has one fault.

    Attributes:
        start_s: From the plan's beginning, in seconds.
        end_s: When it is over.
        fault: Its name, or ``None``.
    """

    start_s: float
    end_s: float
    fault: str | None


class FaultPlan:
    """Says it for every camera and any time.

    Args:
        cameras: How many.
        share: Share of them that is broken at any time, [0, 1).
        period_s: From the beginning of one fault of a camera to that of its next.
        faults: Names to draw from.
        seed: Decides everything.
    """

    def __init__(
        self, cameras: int, *, share: float, period_s: float, faults: Sequence[str], seed: int
    ) -> None:
        self._share = share
        self._period_s = period_s
        self._faults = sorted(faults)
        self._seed = seed
        order = list(range(cameras))
        random.Random(seed).shuffle(order)  # noqa: S311 - a plan, not a secret
        self._phases_s = [period_s * place / cameras for place in order]

    def fault_at(self, camera: int, time_s: float) -> str | None:
        """Return what is wrong with ``camera`` then, or ``None``."""
        cycle, into_s = divmod(time_s + self._phases_s[camera], self._period_s)
        if into_s >= self._share * self._period_s:
            return None
        draw = random.Random(f"{self._seed}/{camera}/{cycle:.0f}")  # noqa: S311 - a plan
        return draw.choice(self._faults)

    def spans(self, camera: int, until_s: float) -> list[Span]:
        """Return everything that happens to ``camera`` from 0 to ``until_s``, in order."""
        spans: list[Span] = []
        start_s = 0.0
        while start_s < until_s:
            end_s = min(self.next_change_s(camera, start_s), until_s)
            spans.append(Span(start_s, end_s, self.fault_at(camera, start_s)))
            start_s = end_s
        return spans

    def next_change_s(self, camera: int, time_s: float) -> float:
        """Return when ``camera`` breaks or recovers next, always later than ``time_s``."""
        cycle, into_s = divmod(time_s + self._phases_s[camera], self._period_s)
        recovers_s = self._share * self._period_s
        edge_s = recovers_s if into_s < recovers_s else self._period_s
        # A hair later: rounding must not find the same edge again.
        return cycle * self._period_s + edge_s - self._phases_s[camera] + 1e-6
