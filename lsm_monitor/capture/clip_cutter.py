"""Cuts clips in a capture process: waits until each is complete, and hands it over.

One thread for all cameras of the process, started with the first order. It never touches a
disk: the clip goes to the daemon in memory, as pictures do.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lsm_monitor.capture import wire
from lsm_monitor.capture.clip import clip_of
from lsm_monitor.capture.gulps import REST_S
from lsm_monitor.capture.packet_ring import PacketRing, Recording
from lsm_monitor.clock import Clock
from lsm_monitor.errors import ClipError

_LATE_S = 2 * REST_S
"""Packets are read in gulps: the last ones of a clip come later than they were sent."""
MOST_PENDING = 100


@dataclass(order=True, slots=True)
class _Pending:
    """A clip that is being recorded."""

    due_mono_s: float
    number: int
    order: wire.CutClip = field(compare=False)
    ring: PacketRing = field(compare=False)
    recording: Recording = field(compare=False)


class ClipCutter:
    """Takes orders from one thread.

    Args:
        tell: Tells the daemon; may wait while it does not listen.
        clock: Monotonic time.
    """

    def __init__(
        self, tell: Callable[[wire.News, memoryview | None], object], clock: Clock
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._condition = threading.Condition()
        self._pending: list[_Pending] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def cut(self, order: wire.CutClip, ring: PacketRing | None) -> None:
        """Begin to record; ``ring`` is ``None`` for a camera that keeps no packets."""
        if ring is None:
            self._refuse(order, "no packets of this camera are kept")
            return
        recording = ring.record(order.from_mono_s, order.until_mono_s)
        if recording is None or len(self._pending) >= MOST_PENDING:
            if recording is not None:
                ring.finish(recording)
            self._refuse(order, "too many at once")
            return
        due_mono_s = order.until_mono_s + _LATE_S
        pending = _Pending(due_mono_s, next(self._numbers), order, ring, recording)
        with self._condition:
            heapq.heappush(self._pending, pending)
            self._condition.notify()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._condition:
                now_s = self._clock.monotonic_s()
                if not self._pending or self._pending[0].due_mono_s > now_s:
                    wait_s = self._pending[0].due_mono_s - now_s if self._pending else None
                    self._condition.wait(wait_s)
                    continue
                pending = heapq.heappop(self._pending)
            pending.ring.finish(pending.recording)
            self._hand_over(pending.order, pending.recording)

    def _hand_over(self, order: wire.CutClip, recording: Recording) -> None:
        stream, packets = recording.stream, recording.packets
        if stream is None:
            self._refuse(order, "this kind of video cannot be cut")
            return
        if not packets:
            self._refuse(order, "no packets came")
            return
        try:
            data = clip_of(stream, packets)
        except ClipError as exc:
            self._refuse(order, str(exc))
            return
        news = wire.Clip(
            order.clip_id,
            codec=stream.codec,
            begins_mono_s=packets[0].arrived_s,
            duration_s=float((packets[-1].pts - packets[0].pts) * stream.time_base),
        )
        self._tell(news, memoryview(data))

    def _refuse(self, order: wire.CutClip, problem: str) -> None:
        self._tell(wire.Clip(order.clip_id, problem=problem), None)
