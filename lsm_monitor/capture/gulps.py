"""When a camera's thread may rest while packets gather, to read them in one go.

A thread that wakes up for every packet of every camera makes a hundred cameras 2,500 threads a
second that ask for Python's one lock. It is then the switching between them that costs, and
the model waits in the same queue. What the kernel holds meanwhile is a fraction of a second.
"""

from __future__ import annotations

import math

REST_S = 0.4
"""So long a picture may come later, and so much video the camera and the kernel must hold."""
WAITED_S = 0.005
"""A read that took so long had to wait for the camera: everything before it has been read."""
_JITTER_S = 0.05
_MEMORY_S = 30.0
_CATCH_UP_S = 3.0


class Gulps:
    """Decides it for one stream epoch, so that reading never falls behind the camera.

    Rests only when the last read had to wait for the camera, and the packet came hardly later
    than packets of the last minute did. Either alone could be wrong: on a busy machine every
    read seems to wait, and by a clock that runs fast no packet is ever late. The first seconds
    of each half minute are read without a rest, or what is forgiven would add up.
    """

    def __init__(self) -> None:
        self._delays_s = (math.inf, math.inf)  # the least of this half minute, and the last
        self._half_minute_s = -math.inf  # when it began; every camera has its own

    def may_rest(self, now_s: float, video_s: float, read_took_s: float) -> bool:
        """Return whether to rest now, for :data:`REST_S`.

        Args:
            now_s: Any clock that never goes backwards, in seconds.
            video_s: Presentation time of the packet that was read last, in seconds.
            read_took_s: How long that took.
        """
        delay_s = now_s - video_s
        this, last = self._delays_s
        if now_s - self._half_minute_s >= _MEMORY_S:
            self._half_minute_s = now_s
            this, last = math.inf, this
        self._delays_s = (min(this, delay_s), last)
        is_late = delay_s > min(self._delays_s) + _JITTER_S
        is_catching_up = now_s - self._half_minute_s < _CATCH_UP_S
        return read_took_s >= WAITED_S and not is_late and not is_catching_up
