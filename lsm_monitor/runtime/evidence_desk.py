"""Evidence of events, made and stored by a thread of its own.

The thread that decides only leaves a note here: which event, which picture. Drawing, coding,
the disk, the clip and the picture of the main stream are all later. Whatever fails here costs
evidence; it is told once, counted, and tried again with the next event.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

from lsm_monitor.capture import wire
from lsm_monitor.clock import Clock, SettledTime
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import StoreError
from lsm_monitor.evidence.pictures import EventPictures, pictures_of, stored_jpeg
from lsm_monitor.evidence.privacy import hide
from lsm_monitor.evidence.retention import to_remove
from lsm_monitor.evidence.sidecar import NOT_YET, EvidenceKind, Json, file_name
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.payloads import rfc3339
from lsm_monitor.runtime.decisions import Seen
from lsm_monitor.runtime.evidence_clips import OrderedClips, about_clip
from lsm_monitor.runtime.evidence_queue import Case, EvidenceQueue, Late
from lsm_monitor.runtime.main_stream import MainPicture, MainStreams
from lsm_monitor.types import CameraId, EventKind, PromisedEvidence, WaterEvent

logger = logging.getLogger(__name__)

_TICK_S = 0.5
_MOST_EVENT_BYTES = 4096
_TIDY_EVERY_S = 60.0
_PICTURES = (EvidenceKind.SNAPSHOT, EvidenceKind.RAW, EvidenceKind.MASK)
_NO_PICTURE = "no picture decided this"
_ON_PATROL = "the camera is not connected all the time"
_NO_PACKETS = "this kind of source sends no packets that a clip can be cut from"
_TOO_MANY = "too many at once"
_TOO_LATE = "it did not come in time"
_STOPPED = "the daemon was stopped"


class EvidenceDesk:
    """Takes notes of events and makes evidence of them; see :meth:`run`.

    Attributes:
        order_clip: Orders a clip; must not block. What comes of it goes to :meth:`on_clip`.
        camera_of: Returns how a camera is configured now, if it is; must not block.
        on_stored: Told of which episode something was stored; must not block.

    Args:
        store: Where evidence lies; nobody else writes there.
        config: What is kept, and for how long.
        open_ids: Episodes that are open at the start.
        on_snapshot: Told, with the camera, the pictures of each event; must not block.
        main_streams: Takes the picture of a camera's main stream; closed at the end.
        metrics: Counts what becomes of it.
        clock: Time.
    """

    def __init__(
        self,
        store: EvidenceStore,
        *,
        config: EvidenceConfig,
        open_ids: Iterable[UUID],
        on_snapshot: Callable[[CameraId, EventPictures], None],
        main_streams: MainStreams,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._config = config
        self._on_snapshot = on_snapshot
        self._main_streams = main_streams
        self._metrics = metrics
        self._clock = clock
        self._time = SettledTime(clock)
        self.order_clip: Callable[[wire.CutClip], None] = lambda _: None
        self.camera_of: Callable[[CameraId], CameraConfig | None] = lambda _: None
        self.on_stored: Callable[[UUID], None] = lambda _: None
        self._queue = EvidenceQueue()
        metrics.queue_depth.labels("evidence").set_function(self._queue.__len__)
        self._lock = threading.Lock()
        self._open_ids = set(open_ids)
        self._clips = OrderedClips(config)
        self._is_refused, self._open_at_s = False, -math.inf
        self._tidy_at_s = clock.monotonic_s()

    # On the thread that decides.

    def promise(self, event: WaterEvent, seen: Seen | None) -> PromisedEvidence:
        """Return the names of the files that will be made of an event."""
        if not self._config.enabled or seen is None:
            return PromisedEvidence()
        picture_bytes = seen[0].image.nbytes + seen[1].probability.nbytes
        if not self._queue.has_room(picture_bytes + _MOST_EVENT_BYTES):
            return PromisedEvidence()
        has_clip = self._clip_reason(event.state.camera_id, seen) == NOT_YET
        clip = _path(event, EvidenceKind.CLIP) if has_clip else None
        return PromisedEvidence(_path(event, EvidenceKind.SNAPSHOT), clip)

    def keep(self, event: WaterEvent, seen: Seen | None, payload: bytes) -> None:
        """Note that evidence of an event is to be made."""
        event_id, camera_id = event.episode.event_id, event.state.camera_id
        with self._lock:
            if event.kind is EventKind.CLOSE:
                self._open_ids.discard(event_id)
            else:
                self._open_ids.add(event_id)
        if not self._config.enabled:
            return
        reason = self._clip_reason(camera_id, seen)
        case = Case(event_id, event.episode.seq, camera_id, payload, seen, reason)
        if not self._queue.put(case):
            self._metrics.evidence.labels("pictures", "dropped").inc()
            return
        if reason == NOT_YET and seen is not None:
            at_mono_s = seen[0].stamp.decoded_mono_s
            order = self._clips.order(camera_id, event_id, case.seq, at_mono_s=at_mono_s)
            self.order_clip(order)

    def _clip_reason(self, camera_id: CameraId, seen: Seen | None) -> str | None:
        """Return why there is no clip now; ``None`` when nobody wants one."""
        if not self._config.clip_mb:
            return None
        camera = self.camera_of(camera_id)
        if camera is None or camera.mode != "continuous":
            return _ON_PATROL
        if not camera.is_network or camera.source in {"snapshot", "mjpeg"}:
            return _NO_PACKETS
        if self._clips.is_full:
            return _TOO_MANY
        return _NO_PICTURE if seen is None else NOT_YET

    # On whatever thread it arrives.

    def on_clip(self, clip: wire.Clip, data: bytes | None) -> None:
        """Take a clip that was ordered, or the reason why there is none."""
        awaited = self._clips.arrived(clip.clip_id)
        if awaited is None:
            return
        now, now_mono_s = self._clock.now(), self._clock.monotonic_s()
        about = about_clip(clip, now=now, now_mono_s=now_mono_s)
        kind = EvidenceKind.CLIP
        self.add(Late(awaited.event_id, awaited.seq, kind, data, about, clip.problem))

    def add(self, late: Late) -> None:
        """Take what came after the pictures of its event."""
        if not self._queue.put(late):
            self._metrics.evidence.labels(late.kind, "dropped").inc()

    # On the thread of its own.

    def run(self, stop: threading.Event) -> None:
        """Store what comes until ``stop`` is set, and then what still waits."""
        while not stop.is_set():
            self._step(_TICK_S)
        self._main_streams.close()
        self._give_up_clips(math.inf, _STOPPED)
        while len(self._queue):
            self._handle(self._queue.take(0.0))

    def _step(self, timeout_s: float) -> None:
        if self._clock.monotonic_s() >= self._open_at_s:
            self._open()
        self._handle(self._queue.take(timeout_s))
        self._give_up_clips(self._clock.monotonic_s(), _TOO_LATE)
        if self._clock.monotonic_s() >= self._tidy_at_s:
            self._tidy()

    def _open(self) -> None:
        """Find what is there; until the disk lets us, events are tried all the same."""
        is_first, self._open_at_s = self._open_at_s == -math.inf, math.inf
        try:
            self._store.open()
        except StoreError as exc:
            if is_first:  # events have been tried since; what is refused now may be old
                self._note_refusal(exc)
            self._open_at_s = self._clock.monotonic_s() + _TIDY_EVERY_S
            return
        self._note_acceptance()

    def _handle(self, item: Case | Late | None) -> None:
        if item is None:
            return
        kind = str(item.kind) if isinstance(item, Late) else "pictures"
        try:
            outcome = self._file(item) if isinstance(item, Late) else self._store_case(item)
        except StoreError as exc:
            self._metrics.evidence.labels(kind, "failed").inc()
            self._note_refusal(exc)
            return
        self._metrics.evidence.labels(kind, outcome).inc()
        if outcome == "stored":
            self._note_acceptance()
            self.on_stored(item.event_id)

    def _note_refusal(self, exc: StoreError) -> None:
        if not self._is_refused:
            logger.warning("evidence is not stored: %s; alerts go out all the same", exc)
        self._is_refused = True
        self._metrics.evidence_storable.set(0)

    def _note_acceptance(self) -> None:
        if self._is_refused:
            logger.warning("evidence is stored again")
        self._is_refused = False
        self._metrics.evidence_storable.set(1)
        self._metrics.evidence_bytes.set(self._store.size_bytes)

    def _store_case(self, case: Case) -> str:
        camera = self.camera_of(case.camera_id)
        about: Json = {
            "event": json.loads(case.payload),
            "picture": case.origin,
            "blur": self._config.blur,
        }
        missing: list[Json] = []
        files: dict[EvidenceKind, bytes] = {}
        if case.seen is None:
            missing += [{"kind": kind.value, "reason": _NO_PICTURE} for kind in _PICTURES]
        else:
            pictures = self._draw(case.seen, camera)
            self._on_snapshot(case.camera_id, pictures)
            files = dict(
                zip(_PICTURES, (pictures.snapshot, pictures.raw, pictures.mask), strict=True)
            )
        if case.clip_reason is not None:
            missing.append({"kind": EvidenceKind.CLIP.value, "reason": case.clip_reason})
        has_main = camera is not None and camera.evidence_url is not None
        if has_main and case.seen is not None:
            missing.append({"kind": EvidenceKind.MAIN.value, "reason": NOT_YET})
        self._store.put(case.event_id, case.seq, files, {**about, "missing": missing})
        self._tidy_at_s = min(self._tidy_at_s, self._clock.monotonic_s())
        if camera is not None and has_main and case.seen is not None:
            self._take_main(case, camera)
        return "stored"

    def _draw(self, seen: Seen, camera: CameraConfig | None) -> EventPictures:
        frame, mask = seen
        zones = [] if camera is None else [zone.points for zone in camera.zones.values()]
        # A camera that was taken out meanwhile has no zones: then nothing is outside of them.
        blur = "all" if camera is None and self._config.blur != "none" else self._config.blur
        water = mask.probability >= mask.threshold
        return pictures_of(frame.image, water, zones=zones, blur=blur)

    def _take_main(self, case: Case, camera: CameraConfig) -> None:
        event_id, seq, kind = case.event_id, case.seq, EvidenceKind.MAIN
        zones = [zone.points for zone in camera.zones.values()]

        def on_done(picture: MainPicture) -> None:
            data = None
            if picture.image is not None:
                data = stored_jpeg(hide(picture.image, self._config.blur, zones))
            about = {"taken_at": rfc3339(picture.taken_at)}
            self.add(Late(event_id, seq, kind, data, about, picture.problem))

        if not self._main_streams.grab(case.camera_id, camera, on_done):
            self.add(Late(event_id, seq, kind, None, reason=_TOO_MANY))

    def _file(self, late: Late) -> str:
        if late.data is None:
            self._store.note_missing(late.event_id, late.seq, late.kind, late.reason)
            return "missing"
        is_there = self._store.add(late.event_id, late.seq, late.kind, late.data, late.about)
        return "stored" if is_there else "failed"

    def _give_up_clips(self, now_mono_s: float, reason: str) -> None:
        for each in self._clips.give_up(now_mono_s):
            self.add(Late(each.event_id, each.seq, EvidenceKind.CLIP, None, reason=reason))

    def _tidy(self) -> None:
        """Remove what is too old or too much."""
        self._tidy_at_s = self._clock.monotonic_s() + _TIDY_EVERY_S
        with self._lock:
            open_ids = set(self._open_ids)
        removed = to_remove(
            self._store.episodes,
            now=self._time.now(),
            max_age=timedelta(days=self._config.max_age_days),
            max_bytes=self._config.max_mb * 2**20,
            open_ids=open_ids,
            busy_ids=self._clips.event_ids() | self._queue.event_ids(),
        )
        for event_id, reason in removed:
            try:
                self._store.remove(event_id)
            except StoreError as exc:
                logger.warning("evidence cannot be removed: %s", exc)
                return
            self._metrics.evidence_removed.labels(reason).inc()
        self._metrics.evidence_bytes.set(self._store.size_bytes)


def _path(event: WaterEvent, kind: EvidenceKind) -> str:
    return f"{event.episode.event_id}/{file_name(event.episode.seq, kind)}"
