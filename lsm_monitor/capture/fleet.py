"""All cameras: what is wanted of them, and what comes of them.

What is wanted is a table, written by anybody at any time; what is, is made equal to it by one
thread, the only one that touches a capture process. So nobody queues, and changing one camera
touches no other. Who holds a camera is decided in ``capture/custody.py``, when a camera on
patrol is visited in ``capture/patrol.py``.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import selectors
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from lsm_monitor.capture import wire
from lsm_monitor.capture.custody import Custody
from lsm_monitor.capture.held import HeldCamera, Worker
from lsm_monitor.capture.measured import adopt_measured
from lsm_monitor.capture.patrol import PatrolPlan
from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.clock import Clock
from lsm_monitor.errors import StoreError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    Frame,
    FrameStamp,
    HealthCode,
    HealthState,
)

logger = logging.getLogger(__name__)

_TICK_S = 0.2
_NEWS_IN_A_ROW = 20
"""Then the next process is heard: one that floods must not drown the others."""
_HUNG_MARGIN_S = 60.0
"""Beyond the camera's own time-outs: without a name server, looking up a name takes as long."""
_TROUBLES: Mapping[HealthCode, str] = {
    HealthCode.HUNG: "the video library hung on this camera; its process was replaced",
    HealthCode.INTERNAL: "lsm-monitor itself failed to watch it; the log says why",
}


class Memories(Protocol):
    """What cameras have learnt about their views; raises ``StoreError`` without a disk."""

    def load(self, camera_id: CameraId, aim: str) -> bytes | None:
        """Return what was saved for ``aim``, or ``None``."""
        ...

    def save(self, camera_id: CameraId, aim: str, data: bytes) -> None:
        """Keep ``data``, learnt for ``aim``, instead of what was there."""
        ...

    def forget(self, camera_id: CameraId) -> None:
        """Keep nothing of this camera."""
        ...


class CaptureFleet:
    """Holds all cameras; ``put`` and ``remove`` may be called from any thread.

    Args:
        command: Starts a capture process; see ``runtime/capture_process.py``.
        log_as: How capture processes write their logs.
        cameras_per_process: Most cameras of one process that stay connected.
        patrol_parallel: Most visits at any time.
        on_frame: Receives usable frames.
        on_health: Told when a camera's health changes.
        on_unusable: Told about each picture that cannot be judged, and why.
        memories: Where it is kept what cameras have learnt about their views.
        on_clip: Receives each clip that was ordered as bytes, or why there is none.
        on_step: Called several times per second while the fleet moves.
        metrics: Counts what the processes count, and their ends.
        clock: Monotonic time.

    The callbacks run on the fleet's thread and must not block.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        log_as: wire.LogAs | None = None,
        cameras_per_process: int,
        patrol_parallel: int,
        on_frame: Callable[[Frame], None],
        on_health: Callable[[CameraHealth], None],
        on_unusable: Callable[[FrameStamp, tuple[HealthCode, ...]], None],
        memories: Memories,
        on_clip: Callable[[wire.Clip, bytes | None], None] = lambda _clip, _data: None,
        on_step: Callable[[], None] = lambda: None,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._on_frame = on_frame
        self._on_health = on_health
        self._on_unusable = on_unusable
        self._memories = memories
        self._on_clip = on_clip
        self._on_step = on_step
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: dict[CameraId, WatchedCamera] = {}
        self._changed: set[CameraId] = set()
        self._dropped: set[CameraId] = set()
        self._log_as: wire.LogAs | None = None
        self._clip_orders: list[wire.CutClip] = []
        self._selector = selectors.DefaultSelector()
        self._plan = PatrolPlan(patrol_parallel)
        self._custody = Custody(
            command=command,
            log_as=log_as or wire.LogAs(),
            cameras_per_process=cameras_per_process,
            memory_of=self._memory_of,
            selector=self._selector,
            on_assigned=self._on_assigned,
            on_trouble=self._on_trouble,
            metrics=metrics,
            clock=clock,
        )

    def put(self, camera: WatchedCamera) -> None:
        """Add a camera, or change it; others are not touched."""
        with self._lock:
            self._wanted[camera.spec.camera_id] = camera
            self._changed.add(camera.spec.camera_id)

    def remove(self, camera_id: CameraId) -> None:
        """Let go of a camera."""
        with self._lock:
            self._wanted.pop(camera_id, None)
            self._changed.add(camera_id)
            self._dropped.add(camera_id)

    def log_as(self, order: wire.LogAs) -> None:
        """Have the capture processes write their logs like this from now on."""
        with self._lock:
            self._log_as = order

    def order_clip(self, order: wire.CutClip) -> None:
        """Order a clip of a camera that is connected; what comes of it is told."""
        with self._lock:
            self._clip_orders.append(order)

    def run(self, stop: threading.Event) -> None:
        """Hold the cameras until ``stop`` is set."""
        try:
            while not stop.is_set():
                self._on_step()
                self._adopt_changes()
                self._custody.place_homeless()
                self._custody.mend()
                self._order_visits()
                self._order_clips()
                self._hear(min(_TICK_S, self._plan.wait_s(self._clock.monotonic_s())))
        finally:
            self._custody.end_all()

    # What is wanted.

    def _adopt_changes(self) -> None:
        with self._lock:
            changes = {camera_id: self._wanted.get(camera_id) for camera_id in self._changed}
            self._changed.clear()
            log_as, self._log_as = self._log_as, None
            # Also those that came back at once: others have forgotten all about them.
            dropped, self._dropped = self._dropped, set()
        if log_as is not None:
            self._custody.log_as(log_as)
        for camera_id, wanted in changes.items():
            held = self._custody.cameras.get(camera_id)
            if (
                held is not None
                and wanted is not None
                and camera_id not in dropped
                and held.wanted.is_opened_like(wanted)
            ):
                if held.wanted.aim != wanted.aim:
                    self._learn_anew(camera_id, held)
                held.wanted = wanted
                self._retime(camera_id, held)
                continue
            if held is not None:
                self._custody.withdraw(camera_id)
                self._plan.remove(camera_id)
                del self._custody.cameras[camera_id]
            if wanted is not None:
                self._custody.cameras[camera_id] = HeldCamera(
                    wanted, stream_epoch=-1 if held is None else held.stream_epoch
                )

    def _learn_anew(self, camera_id: CameraId, held: HeldCamera) -> None:
        with contextlib.suppress(StoreError):  # saved over in a few minutes
            self._memories.forget(camera_id)
        if held.worker is not None:
            held.worker.link.order(wire.LearnAnew(camera_id))

    def _retime(self, camera_id: CameraId, held: HeldCamera) -> None:
        if held.worker is None:
            return
        if held.wanted.on_patrol:
            self._plan_visits(camera_id, held.wanted)
        else:
            held.worker.link.order(wire.Retime(camera_id, held.wanted.spec.interval_s))

    def _on_assigned(self, camera_id: CameraId) -> None:
        wanted = self._custody.cameras[camera_id].wanted
        if wanted.on_patrol:
            # Who held it before may have been visiting it: of that nothing will be heard.
            self._plan.abandon_visit(camera_id)
            self._plan_visits(camera_id, wanted)

    def _plan_visits(self, camera_id: CameraId, wanted: WatchedCamera) -> None:
        self._plan.put(
            camera_id,
            interval_s=wanted.spec.interval_s,
            priority=wanted.priority,
            now_s=self._clock.monotonic_s(),
        )

    def _order_visits(self) -> None:
        for camera_id in self._plan.take_due(self._clock.monotonic_s()):
            worker = self._custody.cameras[camera_id].worker
            if worker is not None:
                worker.link.order(wire.Visit(camera_id))

    def _order_clips(self) -> None:
        with self._lock:
            orders, self._clip_orders = self._clip_orders, []
        for order in orders:
            held = self._custody.cameras.get(order.camera_id)
            if held is None or held.worker is None:
                self._on_clip(wire.Clip(order.clip_id, problem="nobody holds the camera"), None)
            else:
                held.worker.link.order(order)

    # What comes of it.

    def _hear(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            worker: Worker = key.data
            for _ in range(_NEWS_IN_A_ROW):
                received = worker.link.take()
                if received is None:
                    break
                self._accept(worker, *received)

    def _accept(self, worker: Worker, news: wire.News, memory: mmap.mmap | None) -> None:
        match news:
            case wire.Beat():
                self._on_beat(worker, news)
            case wire.Taken() | wire.Unusable():
                if self._is_heard(news.assignment, news.stamp):
                    self._on_picture(news, memory)
            case wire.Health(assignment, health):
                if self._holder(assignment, health.camera_id):
                    self._tell(health)
            case wire.Clip():
                self._on_clip(news, None if memory is None else memory[:])
            case wire.Learnt(assignment, camera_id):
                if held := self._holder(assignment, camera_id):
                    self._keep_memory(held.wanted, memory)
            case wire.Finished():
                self._on_finished(news, self._holder(news.assignment, news.camera_id))

    def _on_picture(self, news: wire.Taken | wire.Unusable, memory: mmap.mmap | None) -> None:
        if isinstance(news, wire.Unusable):
            self._on_unusable(news.stamp, news.codes)
        elif memory is not None:
            image = np.frombuffer(memory, np.uint8).reshape(news.shape)
            self._on_frame(Frame(news.stamp, image))

    def _memory_of(self, camera_id: CameraId) -> bytes | None:
        aim = self._custody.cameras[camera_id].wanted.aim
        try:
            return self._memories.load(camera_id, aim)
        except StoreError as exc:
            logger.warning("camera '%s' learns its view anew: %s", camera_id, exc)
            return None

    def _keep_memory(self, camera: WatchedCamera, memory: mmap.mmap | None) -> None:
        try:
            if memory is not None:
                self._memories.save(camera.spec.camera_id, camera.aim, memory[:])
        except StoreError as exc:
            logger.warning("a restart will have cameras learn their views anew: %s", exc)

    def _holder(self, assignment: int, camera_id: CameraId) -> HeldCamera | None:
        """Return the camera, if this is its newest assignment."""
        held = self._custody.cameras.get(camera_id)
        is_newest = held is not None and held.assignment == assignment
        return held if is_newest and self._is_wanted(camera_id) else None

    def _is_heard(self, assignment: int, stamp: FrameStamp) -> bool:
        """Whether a picture comes from who holds the camera, or held it until it delivers."""
        held = self._custody.cameras.get(stamp.camera_id)
        if held is None or not self._is_wanted(stamp.camera_id):
            return False
        if held.assignment == assignment:
            held.stream_epoch = max(held.stream_epoch, stamp.stream_epoch)
            held.former_assignment = None
            return True
        return held.former_assignment == assignment

    def _is_wanted(self, camera_id: str) -> bool:
        """Whether the camera was not removed just now: nothing counts for one that is gone."""
        with self._lock:
            return camera_id in self._wanted

    def _on_beat(self, worker: Worker, beat: wire.Beat) -> None:
        wanted = (each for each in beat.measured if self._is_wanted(each[1][0]))
        adopt_measured(self._metrics, wanted)
        hung = [
            camera_id
            for camera_id, silent_s in beat.silent_s.items()
            if camera_id in worker.cameras and silent_s > self._patience_s(camera_id)
        ]
        if hung or (beat.overdue_s > _HUNG_MARGIN_S and worker.retires_at_s is None):
            self._custody.replace_around(worker, hung)

    def _patience_s(self, camera_id: CameraId) -> float:
        spec = self._custody.cameras[camera_id].wanted.spec
        return spec.open_timeout_s + spec.read_timeout_s + _HUNG_MARGIN_S

    def _on_finished(self, news: wire.Finished, held: HeldCamera | None) -> None:
        if held is None:
            return
        if news.crashed:
            self._custody.give_up(news.camera_id, HealthCode.INTERNAL)
        elif held.wanted.on_patrol:
            now_s = self._clock.monotonic_s()
            self._plan.finished(news.camera_id, delivered=news.delivered, now_s=now_s)
        else:
            self._custody.withdraw(news.camera_id)
            held.is_done = True

    def _on_trouble(self, camera_id: CameraId, code: HealthCode) -> None:
        self._plan.remove(camera_id)  # nobody holds it; a visit would keep its place for ever
        if not self._is_wanted(camera_id):
            return
        known = self._custody.cameras[camera_id].health
        reconnects = 1 + (known.reconnects if known else 0)
        self._metrics.reconnects.labels(camera_id, code).inc()
        now = self._clock.now()
        state = HealthState.OFFLINE
        self._tell(CameraHealth(camera_id, state, (code,), _TROUBLES[code], now, reconnects))

    def _tell(self, health: CameraHealth) -> None:
        self._custody.cameras[health.camera_id].health = health
        is_up = health.state is HealthState.USABLE
        self._metrics.camera_up.labels(health.camera_id).set(is_up)
        self._on_health(health)
