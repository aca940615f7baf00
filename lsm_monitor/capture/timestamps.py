"""Presentation times that can be trusted, as in Home Assistant's stream worker.

Cameras send pictures without a time, repeat times, step back when their clock is set, and jump
by years when it is set for the first time. A few such pictures are discarded. When it does not
stop, or the jump is large, the timeline is broken and only a new connection mends it.

Judged are pictures in presentation order, so B-frames need no special case: decoded frames
come in that order, and so do key frames. A camera that has *never* sent a time is not broken:
its pictures are timed by their arrival.
"""

from __future__ import annotations

from enum import Enum, auto

# Home Assistant gives up after 6 packets without DTS and at a gap of 30 s.
MAX_DISCARDED_IN_A_ROW = 6
MAX_JUMP_S = 30.0
# So far a camera's clock may be from ours and not be broken. Real ones are off by 0.01 %.
MAX_DRIFT = 0.01


class Verdict(Enum):
    """What to do with a picture."""

    GOOD = auto()
    """Use it; its time, if it has one, is later than all before."""
    MISSING = auto()
    """Discard it: it has no time although others had."""
    NOT_RISING = auto()
    """Discard it: its time repeats or steps back."""
    BROKEN = auto()
    """Reconnect: too many were discarded, or the time jumped."""


class TimestampGuard:
    """Judges the pictures of one stream epoch, one by one."""

    def __init__(self) -> None:
        self._last_pts_s: float | None = None
        self._last_arrived_s = 0.0
        self._lead_s = 0.0
        self._discarded_in_a_row = 0

    def check(self, pts_s: float | None, arrived_s: float) -> Verdict:
        """Judge the next picture.

        A jump is a step that differs from the time that really passed, so that a camera with
        a key frame per minute is not mistaken for a broken one. Many small differences add
        up: a camera that sends an hour in a minute is as broken as one that leaps.

        Args:
            pts_s: Presentation time in seconds, or ``None`` when the picture has none.
            arrived_s: When it arrived, on a clock that never goes backwards, in seconds. A
                file has no arrival: give ``pts_s`` itself, and only steps back count.
        """
        last_pts_s = self._last_pts_s
        if pts_s is None:
            return Verdict.GOOD if last_pts_s is None else self._discard(Verdict.MISSING)
        if last_pts_s is not None:
            step_s, passed_s = pts_s - last_pts_s, arrived_s - self._last_arrived_s
            ahead_s = pts_s - arrived_s - self._lead_s
            drift_s = MAX_DRIFT * passed_s
            self._lead_s += min(max(ahead_s, -drift_s), drift_s)
            jump_s = max(abs(ahead_s) - drift_s, abs(step_s - passed_s), -step_s)
            if jump_s > MAX_JUMP_S:
                return Verdict.BROKEN
            if step_s <= 0:
                return self._discard(Verdict.NOT_RISING)
        else:
            self._lead_s = pts_s - arrived_s
        self._last_pts_s, self._last_arrived_s = pts_s, arrived_s
        self._discarded_in_a_row = 0
        return Verdict.GOOD

    def _discard(self, verdict: Verdict) -> Verdict:
        self._discarded_in_a_row += 1
        if self._discarded_in_a_row > MAX_DISCARDED_IN_A_ROW:
            return Verdict.BROKEN
        return verdict


class Timeline:
    """One rising time for pictures with and without a presentation time.

    FFmpeg delivers the first pictures of an RTSP stream without one, until it knows the
    camera's clock. Presentation times are therefore shifted once, so that they go on where the
    arrival times were.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def time_s(self, pts_s: float | None, arrived_s: float) -> float:
        """Return when the picture was taken, in seconds on the arrival clock.

        Args:
            pts_s: Presentation time in seconds, or ``None``.
            arrived_s: When it arrived, in seconds.
        """
        if pts_s is None:
            return arrived_s
        if self._offset_s is None:
            self._offset_s = arrived_s - pts_s
        return pts_s + self._offset_s
