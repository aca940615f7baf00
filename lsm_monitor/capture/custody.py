"""Who holds which camera: the capture processes, and what happens when one goes wrong.

No camera can hold up another. Inside a process each has its own thread; a thread that hangs in
native code cannot be ended, so its process is: first a new one takes over the other cameras,
the hanging one gets a process to itself, and only when the others deliver again, or had time
enough, is the old process killed. A process that stops beating, or dies, is replaced at once;
when it happens again, by two with half of the cameras each, until the culprit is alone.
"""

from __future__ import annotations

import logging
import selectors
import threading
from collections.abc import Callable, Sequence

from lsm_monitor.capture import wire
from lsm_monitor.capture.held import HeldCamera, Worker
from lsm_monitor.capture.starts import Starts
from lsm_monitor.capture.worker_link import WorkerLink
from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, HealthCode, HealthState

logger = logging.getLogger(__name__)

_BEAT_PATIENCE_S = 15.0
_START_PATIENCE_S = 60.0
_HANDOVER_S = 20.0
_TROUBLE_MEMORY_S = 600.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 300.0
_TROUBLES_KEPT = 10  # 2 ** 10 s is beyond the longest wait
_STOP_S = 3.0
_POLL_S = 0.05
# More processes for single cameras than this are shared by those that misbehave.
_MOST_ALONE = 8


class Custody:
    """Cameras and processes. Owned by one thread.

    Args:
        command: Starts a capture process.
        log_as: How processes write their logs.
        cameras_per_process: Most cameras of one process that stay connected.
        memory_of: Returns what a camera has learnt about its view, if anything is known.
        selector: Gets the sockets of the processes, each with its :class:`Worker`.
        on_assigned: Told after a camera was given to a process.
        on_trouble: Told when a camera is off because of us, with the reason.
        metrics: Counts processes and their ends.
        clock: Monotonic time.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        log_as: wire.LogAs,
        cameras_per_process: int,
        memory_of: Callable[[CameraId], bytes | None],
        selector: selectors.BaseSelector,
        on_assigned: Callable[[CameraId], None],
        on_trouble: Callable[[CameraId, HealthCode], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._starts = Starts(command, log_as=log_as, metrics=metrics, clock=clock)
        self._cameras_per_process = cameras_per_process
        self._memory_of = memory_of
        self._selector = selector
        self._on_assigned = on_assigned
        self._on_trouble = on_trouble
        self._metrics = metrics
        self._clock = clock
        self._workers: list[Worker] = []
        self._ending: list[tuple[WorkerLink, float]] = []  # and when to use force
        self._assignments = 0
        self.cameras: dict[CameraId, HeldCamera] = {}

    def place_homeless(self) -> None:
        """Give every camera that nobody holds to a process, when its time has come."""
        now_s = self._clock.monotonic_s()
        for camera_id, camera in self.cameras.items():
            if camera.worker is None and not camera.is_done and now_s >= camera.not_before_s:
                worker = self._worker_for(camera)
                if worker is not None:
                    self._assign(camera_id, worker)
                elif not _is_told_unheld(camera):
                    self._on_trouble(camera_id, HealthCode.INTERNAL)

    def log_as(self, order: wire.LogAs) -> None:
        """Have all processes write their logs like this, and those that are to come."""
        self._starts.log_as = order
        for worker in self._workers:
            worker.link.order(order)

    def withdraw(self, camera_id: CameraId) -> None:
        """Take a camera from its process; what that still says about it is not heard."""
        camera = self.cameras[camera_id]
        if camera.worker is not None:
            camera.worker.cameras.discard(camera_id)
            camera.worker.link.order(wire.Forget(camera_id))
        camera.worker, camera.former_assignment = None, None
        camera.assignment = 0

    def give_up(self, camera_id: CameraId, code: HealthCode) -> None:
        """Withdraw a camera because of a fault, to try it again after a while."""
        self.withdraw(camera_id)
        self._delay(camera_id)
        self._on_trouble(camera_id, code)

    def replace_around(self, worker: Worker, hung: Sequence[CameraId]) -> None:
        """Move the other cameras of a process in which ``hung`` hang, and retire it.

        Nothing is in ``hung`` when the thread that hangs is that of a camera it holds no more.
        While no other process can be started, the others stay where they are.
        """
        for camera_id in hung:
            logger.error("camera '%s' hangs in native code; replacing its process", camera_id)
            self.give_up(camera_id, HealthCode.HUNG)
        others = sorted(worker.cameras)
        substitute = self._start() if others else None
        if others and substitute is None:
            return  # it goes on telling that it hangs
        if not hung:
            logger.error("a camera that was let go hangs in native code; replacing its process")
        self._metrics.capture_process_ends.labels("hung").inc()
        worker.retires_at_s = self._clock.monotonic_s() + _HANDOVER_S
        worker.cameras = set()
        for camera_id in others:
            camera = self.cameras[camera_id]
            if not camera.wanted.on_patrol:
                camera.former_assignment = camera.assignment
            self._assign(camera_id, substitute or worker)

    def mend(self) -> None:
        """Replace processes that are gone or silent; end those that nobody needs."""
        now_s = self._clock.monotonic_s()
        self._reap(now_s)
        for worker in list(self._workers):
            worker.link.flush()
            patience_s = _BEAT_PATIENCE_S if worker.link.has_beaten else _START_PATIENCE_S
            if worker.retires_at_s is not None:
                if worker.link.is_gone or self._may_retire(worker.retires_at_s, now_s):
                    self._end(worker, force_at_s=now_s)
            elif worker.link.is_gone:
                self._replace(worker, "died")
            elif now_s - worker.link.heard_s > patience_s:
                self._replace(worker, "silent")
            elif not worker.cameras:
                self._end(worker, force_at_s=now_s + _STOP_S)

    def end_all(self) -> None:
        """Tell all processes to end, and end by force those that do not within seconds."""
        force_at_s = self._clock.monotonic_s() + _STOP_S
        while self._workers:
            self._end(self._workers[-1], force_at_s=force_at_s)
        pause = threading.Event()
        while self._ending and self._clock.monotonic_s() < force_at_s + _POLL_S:
            self._reap(self._clock.monotonic_s())
            pause.wait(_POLL_S)

    def _reap(self, now_s: float) -> None:
        """Forget processes that have ended; use force on those that should have.

        Nobody waits for one: what hangs in a driver does not even end when it is killed.
        """
        for link, force_at_s in list(self._ending):
            if link.has_ended():
                self._ending.remove((link, force_at_s))
            elif now_s >= force_at_s:
                link.kill()

    def _worker_for(self, camera: HeldCamera) -> Worker | None:
        is_suspect = bool(self._recent_troubles(camera))
        if is_suspect:
            alone = [worker for worker in self._workers if worker.is_alone]
            if len(alone) < _MOST_ALONE:
                return self._start(is_alone=True)
            return min(alone, key=self._load)
        for worker in self._workers:
            is_open = worker.retires_at_s is None and not worker.link.is_gone
            fits = self._load(worker) + camera.load <= self._cameras_per_process
            if is_open and fits and not self._holds_suspects(worker):
                return worker
        return self._start()

    def _load(self, worker: Worker) -> float:
        return sum(self.cameras[camera_id].load for camera_id in worker.cameras)

    def _holds_suspects(self, worker: Worker) -> bool:
        worker.is_alone = worker.is_alone and any(
            self._recent_troubles(self.cameras[camera_id]) for camera_id in worker.cameras
        )
        return worker.is_alone

    def _assign(self, camera_id: CameraId, worker: Worker) -> None:
        camera = self.cameras[camera_id]
        self._assignments += 1
        camera.assignment, camera.worker = self._assignments, worker
        worker.cameras.add(camera_id)
        if camera.stream_epoch < 0 or not camera.wanted.on_patrol:
            camera.stream_epoch += 1
        worker.link.order(
            wire.Watch(
                assignment=camera.assignment,
                spec=camera.wanted.spec,
                backoff_max_s=camera.wanted.backoff_max_s,
                on_visits=camera.wanted.on_patrol,
                stream_epoch=camera.stream_epoch,
                health=camera.health,
                ring=camera.wanted.ring,
            ).sealed(),
            self._memory_of(camera_id),
        )
        self._on_assigned(camera_id)

    def _start(self, *, is_alone: bool = False) -> Worker | None:
        """Return a new process; ``None`` while the machine gives none."""
        link = self._starts.start()
        if link is None:
            return None
        worker = Worker(link, is_alone)
        self._selector.register(link.end, selectors.EVENT_READ, worker)
        self._workers.append(worker)
        self._metrics.capture_processes.set(len(self._workers))
        return worker

    def _replace(self, worker: Worker, reason: str) -> None:
        """A whole process went wrong: give its cameras to others, or let them wait."""
        logger.error("a capture process of %d cameras %s", len(worker.cameras), reason)
        self._metrics.capture_process_ends.labels(reason).inc()
        now_s = self._clock.monotonic_s()
        cameras = sorted(worker.cameras)
        is_repeated = any(self._recent_troubles(self.cameras[n]) for n in cameras)
        has_lived = worker.link.has_beaten
        self._end(worker, force_at_s=now_s)
        halves = [cameras[::2], cameras[1::2]] if is_repeated else [cameras]
        for group in filter(None, halves):
            is_culprit = is_repeated and len(group) == 1
            substitute = None
            for camera_id in group:
                camera = self.cameras[camera_id]
                if is_culprit or not has_lived:
                    # One that kills its process, or processes that cannot even start: to try
                    # again at once would only burn the machine.
                    self.give_up(camera_id, HealthCode.INTERNAL)
                    continue
                substitute = substitute or self._start()
                if substitute is not None:  # else it is placed as soon as there is one
                    camera.troubles_at_s = self._with_trouble(camera)
                    self._assign(camera_id, substitute)

    def _may_retire(self, retires_at_s: float, now_s: float) -> bool:
        """Whether the cameras that were moved deliver again, or had time enough to."""
        moving = any(c.former_assignment is not None for c in self.cameras.values())
        return now_s >= retires_at_s or not moving

    def _end(self, worker: Worker, *, force_at_s: float) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.link.end)
        worker.link.dismiss()
        self._ending.append((worker.link, force_at_s))
        for camera in self.cameras.values():
            if camera.worker is worker:
                camera.worker = None
        self._metrics.capture_processes.set(len(self._workers))

    def _delay(self, camera_id: CameraId) -> None:
        """Note a trouble of this very camera; each in a row doubles the wait after it."""
        camera, now_s = self.cameras[camera_id], self._clock.monotonic_s()
        recent = self._recent_troubles(camera)
        camera.not_before_s = now_s + min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** len(recent))
        camera.troubles_at_s = self._with_trouble(camera)

    def _with_trouble(self, camera: HeldCamera) -> list[float]:
        return [*self._recent_troubles(camera), self._clock.monotonic_s()][-_TROUBLES_KEPT:]

    def _recent_troubles(self, camera: HeldCamera) -> list[float]:
        """Return when it went wrong in the last minutes."""
        now_s = self._clock.monotonic_s()
        return [at_s for at_s in camera.troubles_at_s if now_s - at_s < _TROUBLE_MEMORY_S]


def _is_told_unheld(camera: HeldCamera) -> bool:
    health = camera.health
    return (
        health is not None
        and health.state is HealthState.OFFLINE
        and health.codes in {(HealthCode.INTERNAL,), (HealthCode.HUNG,)}
    )
