"""A capture process: holds the cameras it is told to hold, and tells what comes of them.

libav blocks in native code, and nothing inside a process can end a thread that hangs there.
So cameras live in processes of their own, which the daemon can kill: ``capture/custody.py``.
Each camera has a thread; the main thread takes orders and beats once a second. When the daemon
is gone, however it went, the process ends.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from lsm_monitor.capture import wire
from lsm_monitor.capture.camera import CameraCapture
from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.capture.clip_cutter import ClipCutter
from lsm_monitor.capture.greed import Greed
from lsm_monitor.capture.measured import Measured, measured_of
from lsm_monitor.capture.packet_ring import PacketRing
from lsm_monitor.capture.pulse import Pulse
from lsm_monitor.capture.quality import QualityRules
from lsm_monitor.clock import Clock
from lsm_monitor.errors import CameraMemoryError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraHealth, CameraId, Frame, FrameStamp, HealthCode

logger = logging.getLogger(__name__)

BEAT_EVERY_S = 1.0
_SILENCE_WORTH_TELLING_S = 3.0
_STOP_S = 2.0


@dataclass(slots=True)
class _Held:
    """A camera of this process."""

    order: wire.Watch
    capture: CameraCapture
    pulse: Pulse
    ring: PacketRing | None = None
    is_busy: bool = False
    thread: threading.Thread | None = None
    greed: Greed | None = None
    needs_thread: bool = False


class CaptureWorker:
    """The life of a capture process.

    Args:
        end: This process's end of the pair.
        on_secret: Told each password before it is used, so that no log can show it.
        on_log_as: Told how to write the log.
        clock: Stamps frames.
    """

    def __init__(
        self,
        end: socket.socket,
        *,
        on_secret: Callable[[str], None],
        on_log_as: Callable[[wire.LogAs], None] = lambda _: None,
        clock: Clock,
    ) -> None:
        self._end = end
        self._on_log_as = on_log_as
        self._on_secret = on_secret
        self._clock = clock
        self._metrics = Metrics()
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}
        self._cameras: dict[CameraId, _Held] = {}
        self._left: list[_Held] = []  # taken away, and their threads are still to end
        self._sending = threading.Lock()
        self._clips = ClipCutter(self._tell, clock)

    def run(self) -> None:
        """Obey until the daemon closes its end."""
        threading.excepthook = _log_crash
        next_beat_s = self._clock.monotonic_s()
        with selectors.DefaultSelector() as selector:
            selector.register(self._end, selectors.EVENT_READ)
            while True:
                wait_s = next_beat_s - self._clock.monotonic_s()
                if selector.select(max(0.0, wait_s)) and not self._obey():
                    break
                late_s = self._clock.monotonic_s() - next_beat_s
                if late_s >= 0:
                    next_beat_s = self._clock.monotonic_s() + BEAT_EVERY_S
                    self._hold_back_greedy()
                    if not self._tell(self._beat(late_s)):
                        break
        self._stop_all()

    def _obey(self) -> bool:
        """Take one order; return whether there may be more."""
        try:
            received = wire.receive(self._end)
        except OSError:
            return False
        if received is None:
            return False
        order, memory = received
        match order:
            case wire.Watch():
                self._watch(order.unsealed(), None if memory is None else memory[:])
            case wire.Forget(camera_id):
                self._forget(camera_id)
            case wire.Retime() | wire.Visit() | wire.LearnAnew():
                if held := self._cameras.get(order.camera_id):
                    self._pass_on(order, held)
            case wire.CutClip(camera_id):
                held = self._cameras.get(camera_id)
                self._clips.cut(order, held.ring if held else None)
            case wire.LogAs():
                self._on_log_as(order)
            case _:
                logger.error("not an order: %s", type(order).__name__)
        return True

    def _pass_on(self, order: wire.Retime | wire.Visit | wire.LearnAnew, held: _Held) -> None:
        if isinstance(order, wire.Retime):
            held.capture.retime(order.interval_s)
        elif isinstance(order, wire.LearnAnew):
            held.capture.learn_anew()
        elif not held.is_busy:
            self._start(held, "visit")

    def _watch(self, order: wire.Watch, memory: bytes | None) -> None:
        spec = order.spec
        if spec.password is not None:
            self._on_secret(spec.password.get_secret_value())
        self._forget(spec.camera_id)
        ring = None if order.ring is None or order.on_visits else PacketRing(order.ring)
        capture = CameraCapture(
            spec=spec,
            backoff_max_s=order.backoff_max_s,
            rules=QualityRules(),
            memory=_remembered(spec.camera_id, memory),
            stream_epoch=order.stream_epoch,
            health=order.health,
            metrics=self._metrics,
            clock=self._clock,
            on_frame=lambda frame: self._on_frame(order.assignment, frame),
            on_health=lambda health: self._on_health(order.assignment, health),
            on_unusable=lambda stamp, codes: self._on_unusable(order.assignment, stamp, codes),
            on_memory=lambda learnt: self._on_memory(order.assignment, spec.camera_id, learnt),
            ring=ring,
        )
        held = _Held(order, capture, Pulse(self._clock), ring)
        self._cameras[spec.camera_id] = held
        if not order.on_visits:
            self._start(held, "camera")

    def _start(self, held: _Held, what: str) -> None:
        held.pulse.is_set()  # its silence since the last visit was none
        held.is_busy = True
        held.thread = threading.Thread(
            target=self._live,
            args=(held,),
            name=f"{what}[{held.order.spec.camera_id}]",
            daemon=True,
        )
        held.thread.start()
        held.greed = Greed(held.thread.native_id or 0)

    def _live(self, held: _Held) -> None:
        """Body of a camera's thread: for ever, or for one visit."""
        delivered, crashed, goes_on = False, True, False
        try:
            if held.order.on_visits:
                delivered = held.capture.visit(held.pulse)
            else:
                goes_on = held.capture.run(held.pulse, lambda: _is_last(held.greed))
            crashed = False
        finally:
            held.is_busy = False  # before it is told: the next visit may follow at once
            held.needs_thread = goes_on
            if not held.pulse.is_set() and not goes_on:
                self._tell(
                    wire.Finished(
                        assignment=held.order.assignment,
                        camera_id=held.order.spec.camera_id,
                        delivered=delivered,
                        crashed=crashed,
                    )
                )

    def _hold_back_greedy(self) -> None:
        """Let cameras that take a core wait behind the others, for this connection."""
        now_s = self._clock.monotonic_s()
        for camera_id, held in self._cameras.items():
            if held.needs_thread:
                held.needs_thread = False
                self._start(held, "camera")
            elif held.is_busy and held.greed is not None and held.greed.look(now_s):
                logger.info("camera '%s' keeps a core busy; the others go first", camera_id)

    def _forget(self, camera_id: CameraId) -> None:
        # Its thread ends with its read time-out; nobody waits, nobody listens to it any more.
        # One that does not end is told with the beat.
        if held := self._cameras.pop(camera_id, None):
            held.pulse.set()
            self._left = [each for each in (*self._left, held) if each.is_busy]

    def _stop_all(self) -> None:
        for held in self._cameras.values():
            held.pulse.set()
        until_s = self._clock.monotonic_s() + _STOP_S
        for held in self._cameras.values():
            if held.thread is not None:
                held.thread.join(max(0.0, until_s - self._clock.monotonic_s()))

    def _on_frame(self, assignment: int, frame: Frame) -> None:
        height, width, channels = frame.image.shape
        taken = wire.Taken(assignment, frame.stamp, (height, width, channels))
        self._tell(taken, frame.image.data)

    def _on_unusable(
        self, assignment: int, stamp: FrameStamp, codes: tuple[HealthCode, ...]
    ) -> None:
        self._tell(wire.Unusable(assignment, stamp, codes))

    def _on_health(self, assignment: int, health: CameraHealth) -> None:
        self._tell(wire.Health(assignment, health))

    def _on_memory(self, assignment: int, camera_id: CameraId, memory: CameraMemory) -> None:
        self._tell(wire.Learnt(assignment, camera_id), memoryview(memory.to_bytes()))

    def _tell(self, news: wire.News, memory: memoryview | None = None) -> bool:
        """Tell the daemon; waits while it does not listen. Return whether it is there."""
        try:
            with self._sending:
                wire.send(self._end, news, memory)
        except OSError:
            return False
        return True

    def _beat(self, late_s: float) -> wire.Beat:
        if late_s > _SILENCE_WORTH_TELLING_S:
            # The whole process stood still, as in a container that is paused: then the
            # silence of its threads means nothing.
            return wire.Beat({}, self._newly_measured())
        silent_s = {
            camera_id: silence_s
            for camera_id, held in self._cameras.items()
            if held.is_busy and (silence_s := held.pulse.silent_s()) > _SILENCE_WORTH_TELLING_S
        }
        return wire.Beat(silent_s, self._newly_measured(), self._overdue_s())

    def _overdue_s(self) -> float:
        """Return how much longer than it may a thread of a camera that is gone is silent."""
        self._left = [held for held in self._left if held.is_busy]
        return max((_overdue_s(held) for held in self._left), default=0.0)

    def _newly_measured(self) -> list[Measured]:
        news = []
        for name, labels, value, is_counter in measured_of(self._metrics):
            before = self._told.get((name, labels), 0.0)
            if value != before:
                self._told[name, labels] = value
                news.append((name, labels, value - before if is_counter else value))
        return news


def _overdue_s(held: _Held) -> float:
    spec = held.order.spec
    return max(0.0, held.pulse.silent_s() - spec.open_timeout_s - spec.read_timeout_s)


def _is_last(greed: Greed | None) -> bool:
    return greed is not None and greed.is_last


def _remembered(camera_id: CameraId, memory: bytes | None) -> CameraMemory | None:
    try:
        return None if memory is None else CameraMemory.from_bytes(memory)
    except CameraMemoryError as exc:
        logger.warning("camera '%s': %s; it learns its view anew", camera_id, exc)
        return None


def _log_crash(crash: threading.ExceptHookArgs) -> None:
    name = crash.thread.name if crash.thread else "a thread"
    error = (crash.exc_type, crash.exc_value or crash.exc_type(), crash.exc_traceback)
    logger.error("%s failed", name, exc_info=error)
