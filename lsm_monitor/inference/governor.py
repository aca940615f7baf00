"""How much longer than configured the cameras' intervals must be, for the machine to keep up.

With more pictures than the model can judge, some would be lost by chance, after having been
decoded for nothing. Instead every camera's interval is stretched by the same factor until
nothing is lost; it comes back as soon as there is room. Who is looked at every 10 s and who
every minute stay as far apart as the operator wanted them.

The factor follows the load: the pictures that the cameras bring, over those that the model can
judge. That is measured while it works, and so holds whatever else the machine is busy with.
"""

from __future__ import annotations

_AIM = 0.85
_FULL = 0.95
_ROOM = 0.75
"""Between the two nothing is changed: each change tells every camera another interval."""
_MOST_UP, _MOST_DOWN = 1.5, 0.75
_BURST_S = 30.0
"""So many seconds of work may wait: a start, or intervals that have just become shorter."""
_WORK_OFF_S = 60.0
"""What waits beyond is to be judged within this time, beside what comes ..."""
_LEAST_LEFT = 0.5
"""... for which at least this share of the model's speed is left."""
_MEMORY = 0.8
"""Of what a window showed about the model's speed, after one more window."""
MAX_STRETCH = 100.0


class LoadGovernor:
    """Keeps one factor. Not thread-safe."""

    def __init__(self) -> None:
        self.stretch = 1.0
        self._judged = self._busy_s = 0.0

    def update(self, *, demand_per_s: float, waiting: int, judged: int, busy_s: float) -> float:
        """Return the factor for the next window, in [1, :data:`MAX_STRETCH`].

        Args:
            demand_per_s: Pictures per second that come with the present factor.
            waiting: Pictures that wait now.
            judged: Pictures that the model judged in the last window.
            busy_s: For how long it worked on them.
        """
        if judged:
            self._judged = _MEMORY * self._judged + judged
            self._busy_s = _MEMORY * self._busy_s + busy_s
        if not self._busy_s:
            return self.stretch
        capacity_per_s = self._judged / self._busy_s
        too_long_s = max(0.0, waiting / capacity_per_s - _BURST_S)
        left_share = max(_LEAST_LEFT, 1.0 - too_long_s / _WORK_OFF_S)
        load = demand_per_s / (left_share * capacity_per_s)
        if load > _FULL or (load < _ROOM and self.stretch > 1.0):
            step = min(_MOST_UP, max(_MOST_DOWN, load / _AIM))
            self.stretch = min(MAX_STRETCH, max(1.0, self.stretch * step))
        return self.stretch
