"""How often a camera sends pictures, and how often one that can be decoded by itself."""

from __future__ import annotations


class ArrivalRate:
    """Measures the pictures of one stream epoch.

    ``keyframe_interval_s`` is the longest time between two key frames so far, or ``None``
    before the second one.
    """

    def __init__(self) -> None:
        self._first_s: float | None = None
        self._last_s = 0.0
        self._count = 0
        self._last_keyframe_s: float | None = None
        self.keyframe_interval_s: float | None = None

    @property
    def fps(self) -> float | None:
        """Pictures per second; ``None`` before the second one."""
        if self._first_s is None or self._last_s <= self._first_s:
            return None
        return (self._count - 1) / (self._last_s - self._first_s)

    def add(self, time_s: float, *, is_keyframe: bool) -> None:
        """Note a packet of ``time_s``, in seconds."""
        self._first_s = time_s if self._first_s is None else self._first_s
        self._last_s = max(self._last_s, time_s)
        self._count += 1
        if not is_keyframe:
            return
        if self._last_keyframe_s is not None:
            gap_s = time_s - self._last_keyframe_s
            self.keyframe_interval_s = max(gap_s, self.keyframe_interval_s or 0.0)
        self._last_keyframe_s = time_s
