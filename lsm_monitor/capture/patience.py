"""How long a camera may send data without a picture in it, and how much of it.

The first limit follows the camera's own rhythm: a fixed one would for ever restart a camera
that sends few key frames. The second one keeps a camera that sends as fast as the network
takes it from filling a core: only a reconnect, with its growing waits, holds it back.
"""

from __future__ import annotations

from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.errors import SourceError, SourceStalledError
from lsm_monitor.types import HealthCode

# A camera is given this long to send its first key frame; afterwards its own rhythm counts.
_FIRST_KEYFRAME_PATIENCE_S = 30.0
# What 40 s of a hiccup hold at 25 pictures/s, in the time that 250 pictures/s would take: no
# camera sends so many, and a backlog is read once.
_FLOOD_PACKETS = 1000
_FLOOD_S = 4.0


class Patience:
    """Watches one stream epoch.

    Args:
        spec: Whose.
        now_s: Any clock that never goes backwards, in seconds.
    """

    def __init__(self, spec: SourceSpec, now_s: float) -> None:
        self._spec = spec
        self._interval_s = self._next_interval_s = spec.interval_s
        self._last_picture_s = now_s
        self._counted = 0
        self._counting_since_s = now_s
        self._backlogs = 0

    def retime(self, interval_s: float) -> None:
        """Expect a picture per ``interval_s``, from the next one on; from any thread."""
        self._next_interval_s = interval_s

    def picture(self, now_s: float) -> None:
        """Note that a picture came."""
        self._interval_s = self._next_interval_s
        self._last_picture_s = now_s

    def packet(self, now_s: float, keyframe_interval_s: float | None) -> None:
        """Note that a packet came.

        Args:
            now_s: When.
            keyframe_interval_s: The camera's own rhythm, as far as it is known.

        Raises:
            SourceStalledError: Packets come, but no picture.
            SourceError: Too many packets come.
        """
        limit_s = max(
            self._spec.read_timeout_s,
            3 * max(self._interval_s, self._next_interval_s),
            _FIRST_KEYFRAME_PATIENCE_S
            if keyframe_interval_s is None
            else 3 * keyframe_interval_s,
        )
        if now_s - self._last_picture_s > limit_s:
            msg = (
                f"{self._who()} sends data, but no picture could be decoded for {limit_s:.1f} "
                "s; set a key-frame interval in the camera, or "
                f"'cameras.{self._spec.camera_id}.decode: all'"
            )
            raise SourceStalledError(msg, HealthCode.INVALID_DATA)
        self._counted += 1
        if self._counted == _FLOOD_PACKETS:
            self._check_flood(now_s)

    def _check_flood(self, now_s: float) -> None:
        is_fast = now_s - self._counting_since_s < _FLOOD_S
        self._counted, self._counting_since_s = 0, now_s
        self._backlogs = self._backlogs + 1 if is_fast else 0
        if self._backlogs > 1:
            msg = (
                f"{self._who()} sends more than {_FLOOD_PACKETS / _FLOOD_S:g} pictures per "
                "second; restart the camera"
            )
            raise SourceError(msg, HealthCode.INVALID_DATA)

    def _who(self) -> str:
        return f"camera '{self._spec.camera_id}': {self._spec.display_url}"
