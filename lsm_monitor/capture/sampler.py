"""One picture per interval, whatever the camera sends.

Due times lie on a grid, ``start + k * interval``, and not one interval after the last kept
picture: a camera with a key frame every 4 s would otherwise be looked at every 12 s instead
of every 10 s. Time is the picture's presentation time where the camera sends one, because a
burst after a network hiccup arrives all at once but was not taken all at once.

Cameras that connect together would for ever be looked at together: a burst in front of the
model, and pictures that wait. So each camera's grid lies elsewhere, at its own phase; only its
first picture is kept at once.

Promises: two kept pictures are never closer than ``(1/2 - 1/10) * interval``; a camera that
sends at least two pictures per interval is kept ``T / interval`` times, give or take two.
"""

from __future__ import annotations

import math

# A camera with one key frame per interval is sampled at the limit: without some slack, a
# picture that comes a millisecond early would cost a whole interval.
_EARLY_FRACTION = 0.1
_MIN_SPACING_FRACTION = 0.5


class Sampler:
    """Decides which pictures are kept; forget it and make another one per stream epoch.

    Args:
        interval_s: Between two kept pictures.
        phase: So many intervals after the first kept picture the grid begins, [0, 1).
    """

    def __init__(self, interval_s: float, phase: float = 0.0) -> None:
        if not interval_s > 0:
            msg = f"interval_s must be above 0, got {interval_s:g}"
            raise ValueError(msg)
        self._phase = phase
        self._interval_s = interval_s
        self._wanted_interval_s = interval_s
        self._start_s: float | None = None
        self._last_s = -math.inf
        self._due_s = -math.inf

    def retime(self, interval_s: float) -> None:
        """Keep one picture per ``interval_s`` from now on; may be called from any thread."""
        self._wanted_interval_s = interval_s

    def is_due(self, time_s: float) -> bool:
        """Return whether a picture of ``time_s`` would be kept."""
        if self._interval_s != self._wanted_interval_s:
            self._interval_s = self._wanted_interval_s
            self._start_s = None if self._start_s is None else self._last_s
            self._due_s = self._last_s + self._interval_s
        return time_s >= self._due_s - _EARLY_FRACTION * self._interval_s

    def keep(self, time_s: float) -> None:
        """Note that a picture of ``time_s`` was kept.

        Separate from :meth:`is_due`, because a due packet may turn out to be damaged: then
        the next one is as due as this one was.
        """
        if self._start_s is None:
            self._start_s = time_s - (1.0 - self._phase) * self._interval_s
        slack_s = _EARLY_FRACTION * self._interval_s
        slots = math.floor((time_s - self._start_s + slack_s) / self._interval_s)
        self._last_s = time_s
        next_slot_s = self._start_s + (slots + 1) * self._interval_s
        self._due_s = max(next_slot_s, time_s + _MIN_SPACING_FRACTION * self._interval_s)
