"""How much longer than configured the cameras' intervals must be, for the machine to keep up.

With more pictures than the model can judge, some would be lost by chance, after having been
decoded for nothing. Instead every camera's interval is stretched by the same factor until
nothing is lost; it comes back as soon as there is room. Who is looked at every 10 s and who
every minute stay as far apart as the operator wanted them.

The factor follows measurements of the last window: the share of pictures that were lost in
front of the model, or pile up there, and the share of the time that it was busy.
"""

from __future__ import annotations

_WORTH_STRETCHING = 0.05
_ROOM = 0.8
_LOADED = 0.5
_STEP_DOWN = 0.93
_MOST_PER_STEP = 1.5
MAX_STRETCH = 100.0


class LoadGovernor:
    """Keeps one factor. Not thread-safe."""

    def __init__(self) -> None:
        self.stretch = 1.0
        self._backlog_before = 0

    def update(self, *, judged: int, lost: int, waiting: int, busy_fraction: float) -> float:
        """Return the factor for the next window, in [1, :data:`MAX_STRETCH`].

        Args:
            judged: Pictures that the model judged in the last window.
            lost: Pictures that were replaced or became too old before it could.
            waiting: Pictures that wait now.
            busy_fraction: Share of the window in which the model worked, [0, 1].
        """
        backlog = max(0, waiting - judged)  # what one more window cannot work off
        piles_up = 0 < self._backlog_before <= backlog  # that of a burst grows less at once
        came = judged + lost + piles_up * self._backlog_before
        self._backlog_before = backlog
        # A few that were lost while the model had nothing to do were a burst, no overload.
        is_loaded = busy_fraction > _LOADED
        if came and (came - judged) / came > _WORTH_STRETCHING and is_loaded:
            step = min(_MOST_PER_STEP, came / max(judged, 1))
            self.stretch = min(MAX_STRETCH, self.stretch * step)
        elif busy_fraction < _ROOM:
            self.stretch = max(1.0, self.stretch * _STEP_DOWN)
        return self.stretch
