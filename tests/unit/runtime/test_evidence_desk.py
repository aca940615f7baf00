"""What becomes of events at the evidence desk; the store is a real one on a real disk."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from lsm_monitor.capture import wire
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import StoreError
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime import evidence_queue
from lsm_monitor.runtime.decisions import Seen
from lsm_monitor.runtime.evidence_desk import EvidenceDesk
from lsm_monitor.runtime.main_stream import MainPicture, MainStreams
from lsm_monitor.runtime.snapshots import MAX_BYTES, EventSnapshots
from lsm_monitor.types import (
    CameraId,
    EventKind,
    Frame,
    FrameStamp,
    OutboundMessage,
    PromisedEvidence,
    WaterMask,
)
from tests.fakes import FakeClock
from tests.unit.publish.scenes import EVENT_ID, UNDERPASS, event_of, messages_of

OTHER_ID = UUID("019816a2-7c1e-7b60-9f0e-2b1f6a1d9c56")
CAMERA = CameraConfig(url="rtsp://192.0.2.1/1")
WITH_MAIN = CAMERA.model_copy(update={"evidence_url": "rtsp://192.0.2.1/main"})
NOW = datetime(2026, 7, 1, tzinfo=UTC)
SIDE = "1.json"


class FakeMainStreams(MainStreams):
    """Has a place for so many, and lets the test say what comes."""

    def __init__(self, places: int = 1) -> None:
        super().__init__(FakeClock())
        self.places = places
        self.asked: list[Callable[[MainPicture], None]] = []

    def grab(
        self,
        camera_id: CameraId,  # noqa: ARG002 - of the protocol
        camera: CameraConfig,  # noqa: ARG002
        on_done: Callable[[MainPicture], None],
    ) -> bool:
        if len(self.asked) == self.places:
            return False
        self.asked.append(on_done)
        return True


class Desk:
    """An evidence desk and all that came out of it."""

    def __init__(
        self,
        folder: Path,
        *,
        camera: CameraConfig | None = CAMERA,
        clock: FakeClock | None = None,
        **config: object,
    ) -> None:
        self.clock = clock or FakeClock()
        self.metrics = Metrics()
        self.store = EvidenceStore(folder)
        self.ordered: list[wire.CutClip] = []
        self.published: list[OutboundMessage] = []
        self.main = FakeMainStreams()
        self.desk = EvidenceDesk(
            self.store,
            config=EvidenceConfig.model_validate(config),
            open_ids=[],
            on_snapshot=EventSnapshots(Topics("lsm/v1", "west"), self.published.append, 180.0),
            main_streams=self.main,
            metrics=self.metrics,
            clock=self.clock,
        )
        self.desk.order_clip = self.ordered.append
        self.desk.camera_of = lambda _: camera

    def happen(
        self,
        kind: EventKind = EventKind.OPEN,
        seq: int = 1,
        event_id: UUID = EVENT_ID,
        *,
        seen: Seen | None = None,
    ) -> PromisedEvidence:
        event = event_of(kind, seq=seq, event_id=event_id)
        promised = self.desk.promise(event, seen)
        self.desk.keep(event, seen, messages_of(event)[0].payload)
        return promised

    def work(self) -> None:
        """Do what waits."""
        for _ in range(10):
            self.desk._step(0.0)

    def names(self, event_id: UUID = EVENT_ID) -> list[str]:
        return [file.name for file in self.store.listing(event_id)]

    def sidecar(self, name: str = SIDE) -> dict[str, Any]:
        path = self.store.path_of(EVENT_ID, name)
        assert path is not None
        content: dict[str, Any] = json.loads(path.read_bytes())
        return content

    def missing(self) -> dict[str, str]:
        return {entry["kind"]: entry["reason"] for entry in self.sidecar()["missing"]}

    def count(self, kind: str, outcome: str) -> float:
        name = f'lsm_evidence_total{{kind="{kind}",outcome="{outcome}"}}'
        return self.metrics.snapshot().get(name, 0.0)


def picture(height: int = 90, width: int = 160, at_mono_s: float = 990.0) -> Seen:
    stamp = FrameStamp(UNDERPASS, 3, 7, 1.25, NOW, at_mono_s)
    probability = np.zeros((45, 80), np.float32)
    probability[20:] = 0.9
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(stamp, image), WaterMask(stamp, probability, 0.5, 1.0)


def test_an_event_names_its_picture_before_it_is_there_and_it_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    promised = desk.happen(seen=picture())
    assert promised == PromisedEvidence(f"{EVENT_ID}/1.jpg", None)
    assert desk.names() == []
    desk.work()
    assert desk.names() == ["1.jpg", "1.raw.jpg", "1.mask.png", "1.json"]
    assert promised.snapshot is not None
    assert (tmp_path / "evidence" / promised.snapshot).is_file()
    assert desk.count("pictures", "stored") == 1
    assert desk.metrics.snapshot()["lsm_evidence_bytes"] == desk.store.size_bytes > 0


def test_a_sidecar_has_the_event_as_it_was_sent_and_the_picture_s_origin(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    desk.happen(seen=picture())
    desk.work()
    sidecar = desk.sidecar()
    sent = messages_of(event_of(EventKind.OPEN, seq=1))[0].payload
    assert sidecar["event"] == json.loads(sent)
    assert sidecar["picture"] == {
        "taken_at": "2026-07-01T00:00:00.000Z",
        "stream_epoch": 3,
        "sequence": 7,
        "pts_s": 1.25,
        "width_px": 160,
        "height_px": 90,
        "threshold": 0.5,
    }
    assert (sidecar["schema"], sidecar["blur"], sidecar["missing"]) == (
        "lsm.evidence/1",
        "none",
        [],
    )


def test_an_event_that_no_picture_decided_has_a_sidecar_that_says_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.happen(EventKind.STALE) == PromisedEvidence()
    desk.work()
    assert desk.names() == ["1.json"]
    assert desk.missing()["snapshot"] == "no picture decided this"
    assert desk.published == []


def test_every_picture_is_published_and_fits(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.happen(seen=picture())
    desk.happen(seq=2, seen=picture(720, 1280))
    desk.work()
    first, second = desk.published
    assert first.topic == f"lsm/v1/west/camera/{UNDERPASS}/snapshot"
    assert (first.qos, first.retain, first.expires_s) == (0, True, 180.0)
    path = desk.store.path_of(EVENT_ID, "1.jpg")
    assert path is not None
    assert first.payload == path.read_bytes()
    assert len(second.payload) <= MAX_BYTES


def test_nothing_is_kept_or_published_when_it_is_switched_off(tmp_path: Path) -> None:
    desk = Desk(tmp_path, enabled=False)
    assert desk.happen(seen=picture()) == PromisedEvidence()
    desk.work()
    assert (desk.names(), desk.published) == ([], [])


def test_a_full_queue_costs_evidence_says_so_in_the_event_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_queue, "MAX_BYTES", 130_000)
    desk = Desk(tmp_path)
    assert desk.happen(seen=picture()).snapshot is not None
    assert desk.happen(seq=2, seen=picture()).snapshot is not None
    assert desk.happen(seq=3, seen=picture()).snapshot is None
    assert desk.metrics.snapshot()['lsm_queue_depth{queue="evidence"}'] == 2
    desk.work()
    assert desk.count("pictures", "dropped") == 1
    assert desk.happen(seq=4, seen=picture()).snapshot is not None


def test_a_disk_that_refuses_is_told_once_and_evidence_comes_back_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "evidence").write_bytes(b"in the way")
    desk = Desk(tmp_path)
    for seq in (1, 2):
        desk.happen(seq=seq, seen=picture())
        desk.work()
    assert caplog.text.count("evidence is not stored") == 1
    assert desk.count("pictures", "failed") == 2
    assert desk.metrics.snapshot()["lsm_evidence_storable"] == 0
    assert len(desk.published) == 2  # a picture in the control room needs no disk
    (tmp_path / "evidence").unlink()
    desk.happen(seq=3, seen=picture())
    desk.work()
    assert caplog.text.count("evidence is stored again") == 1
    assert desk.metrics.snapshot()["lsm_evidence_storable"] == 1
    assert desk.names() == ["3.jpg", "3.raw.jpg", "3.mask.png", "3.json"]


def test_what_cannot_be_tidied_up_is_tried_again_in_a_minute_and_events_are_stored_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path)
    opened: list[float] = []

    def refuse() -> None:
        opened.append(desk.clock.now_s)
        msg = "evidence/.2.jpg.part: cannot be used"
        raise StoreError(msg)

    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "open", refuse)
        desk.work()
        assert desk.metrics.snapshot()["lsm_evidence_storable"] == 0
        desk.happen(seen=picture())
        desk.work()
        assert desk.names()[-1] == "1.json"
        desk.clock.now_s += 59
        desk.work()
        desk.clock.now_s += 1
        desk.work()
    assert opened == [1000.0, 1060.0]
    # What is refused a second time is no news: events are stored, and were since.
    assert desk.metrics.snapshot()["lsm_evidence_storable"] == 1
    assert caplog.text.count("evidence is not stored") == 1
    desk.clock.now_s += 60
    desk.work()
    desk.clock.now_s += 600
    monkeypatch.setattr(desk.store, "open", refuse)
    desk.work()
    assert opened == [1000.0, 1060.0]


def test_episodes_beside_one_that_cannot_be_tidied_up_go_by_their_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Desk(tmp_path, max_age_days=1)
    for event_id in (EVENT_ID, OTHER_ID):
        before.happen(EventKind.STALE, event_id=event_id)
        before.work()
    for folder in (tmp_path / "evidence").iterdir():
        (folder / ".2.jpg.part").write_bytes(b"left")
        os.utime(folder, (0, 0))

    def refuse(_self: Path, *, missing_ok: bool = False) -> None:  # noqa: ARG001 - of Path
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "unlink", refuse)
    Desk(tmp_path, max_age_days=1).work()
    assert list((tmp_path / "evidence").iterdir()) == []


def test_a_clip_is_ordered_at_once_and_added_when_it_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, clip_mb=2, clip_before_s=8, clip_after_s=5)
    promised = desk.happen(seen=picture(at_mono_s=990.0))
    assert promised.clip == f"{EVENT_ID}/1.mp4"
    (order,) = desk.ordered
    assert (order.camera_id, order.from_mono_s, order.until_mono_s) == (UNDERPASS, 982, 995)
    desk.work()
    assert desk.missing() == {"clip": "not there yet"}
    desk.desk.on_clip(wire.Clip(order.clip_id, "", "h264", 981.5, 13.4), b"video")
    desk.work()
    assert (desk.missing(), desk.names()[-2:]) == ({}, ["1.mp4", "1.json"])
    clip = desk.sidecar()["files"][-1]
    assert (clip["codec"], clip["seconds"]) == ("h264", 13.4)
    assert clip["begins_at"] == "2026-06-30T23:59:41.500Z"
    assert desk.count("clip", "stored") == 1


def test_a_clip_that_cannot_be_had_has_a_reason(tmp_path: Path) -> None:
    desk = Desk(tmp_path, clip_mb=2)
    desk.happen(seen=picture())
    desk.desk.on_clip(wire.Clip(desk.ordered[0].clip_id, "no packets came"), None)
    desk.work()
    assert desk.missing() == {"clip": "no packets came"}


def test_a_clip_that_never_comes_is_given_up_and_is_too_late_then(tmp_path: Path) -> None:
    desk = Desk(tmp_path, clip_mb=2)
    desk.happen(seen=picture())
    desk.work()
    desk.clock.now_s += 60
    desk.work()
    desk.desk.on_clip(wire.Clip(desk.ordered[0].clip_id), b"video")
    desk.work()
    assert desk.missing() == {"clip": "it did not come in time"}
    assert "1.mp4" not in desk.names()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"mode": "patrol"}, "the camera is not connected all the time"),
        ({"mode": "triggered"}, "the camera is not connected all the time"),
        ({"url": "http://192.0.2.1/1.jpg", "source": "snapshot"}, "sends no packets"),
        ({"url": "v4l2:/dev/video0"}, "sends no packets"),
    ],
)
def test_cameras_without_packets_have_no_clips_and_the_sidecar_says_why(
    tmp_path: Path, changed: dict[str, str], reason: str
) -> None:
    desk = Desk(tmp_path, camera=CAMERA.model_copy(update=changed), clip_mb=2)
    assert desk.happen(seen=picture()).clip is None
    desk.work()
    assert desk.ordered == []
    assert reason in desk.missing()["clip"]


def test_the_main_stream_s_picture_comes_later_with_its_own_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path, camera=WITH_MAIN)
    desk.happen(seen=picture())
    desk.work()
    assert desk.missing() == {"main": "not there yet"}
    image = np.zeros((180, 320, 3), np.uint8)
    desk.main.asked[0](MainPicture(image, NOW))
    desk.work()
    assert "1.main.jpg" in desk.names()
    assert desk.sidecar()["files"][-1]["taken_at"] == "2026-07-01T00:00:00.000Z"
    desk.happen(seq=2, seen=picture())  # there is one place, and it is taken
    desk.work()
    assert desk.sidecar("2.json")["missing"] == [{"kind": "main", "reason": "too many at once"}]


def test_nothing_is_kept_unhidden_when_people_are_to_be_hidden(tmp_path: Path) -> None:
    noisy = picture()
    desk = Desk(tmp_path, camera=WITH_MAIN, blur="all")
    desk.happen(seen=noisy)
    desk.work()
    desk.main.asked[0](MainPicture(noisy[0].image, NOW))
    desk.work()
    plain = Desk(tmp_path / "plain", camera=WITH_MAIN)
    (tmp_path / "plain").mkdir()
    plain.happen(seen=noisy)
    plain.work()
    plain.main.asked[0](MainPicture(noisy[0].image, NOW))
    plain.work()
    sizes = {file.name: file.size_bytes for file in desk.store.listing(EVENT_ID)}
    for file in plain.store.listing(EVENT_ID):
        if file.name.endswith(".jpg"):  # noise is what JPEG needs bytes for
            assert sizes[file.name] < 0.7 * file.size_bytes
    assert desk.sidecar()["blur"] == "all"


def test_a_camera_that_is_gone_by_then_is_hidden_as_a_whole(tmp_path: Path) -> None:
    desk = Desk(tmp_path, camera=None, blur="outside_zones")
    other = Desk(tmp_path / "all", camera=None, blur="all")
    (tmp_path / "all").mkdir()
    for each in (desk, other):
        each.happen(seen=picture())
        each.work()
    assert desk.store.listing(EVENT_ID)[1] == other.store.listing(EVENT_ID)[1]


def test_the_oldest_closed_episode_goes_when_it_is_full_and_an_open_one_stays(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, max_mb=16)
    desk.happen(seen=picture())
    desk.work()
    desk.happen(EventKind.OPEN, event_id=OTHER_ID, seen=picture())
    desk.happen(EventKind.CLOSE, 2, OTHER_ID, seen=picture(2000, 3000))
    desk.work()
    assert desk.names(OTHER_ID)
    desk.happen(seq=2, seen=picture(2000, 3000))
    desk.work()
    assert desk.names(OTHER_ID) == []
    assert desk.names()[-1] == "2.json"
    assert desk.metrics.snapshot()['lsm_evidence_removed_total{reason="size"}'] == 1
    assert desk.metrics.snapshot()["lsm_evidence_bytes"] <= 16 * 2**20


def test_what_waits_at_a_stop_is_stored_and_what_is_awaited_is_missing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, clip_mb=2)
    desk.happen(seen=picture())
    stop = threading.Event()
    stop.set()
    desk.desk.run(stop)
    assert desk.names() == ["1.jpg", "1.raw.jpg", "1.mask.png", "1.json"]
    assert desk.missing() == {"clip": "the daemon was stopped"}


def test_pictures_are_not_copied_on_the_thread_that_decides(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    seen = picture()
    desk.happen(seen=seen)
    item = desk.desk._queue.take(0.0)
    assert isinstance(item, evidence_queue.Case)
    assert item.seen is seen


def test_what_no_room_was_made_for_stays_in_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for seq in range(1, 5):
        desk.happen(seq=seq, seen=picture())
    taken = [desk.desk._queue.take(0.0) for _ in range(5)]
    assert [item.seq if item else None for item in taken] == [1, 2, 3, 4, None]


def test_whatever_was_stored_is_told_once_it_can_be_listed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, camera=WITH_MAIN, clip_mb=2)
    told: list[tuple[UUID, int]] = []
    desk.desk.on_stored = lambda event_id: told.append((event_id, len(desk.names(event_id))))
    desk.happen(seen=picture())
    desk.work()
    pictures = (EVENT_ID, 4)
    assert told == [pictures]
    image = np.zeros((90, 160, 3), np.uint8)
    desk.main.asked[0](MainPicture(image, NOW))
    desk.work()
    clip_id = desk.ordered[0].clip_id
    desk.desk.on_clip(wire.Clip(clip_id, "", "h264", 981.5, 13.4), b"video")
    desk.work()
    assert told == [pictures, (EVENT_ID, 5), (EVENT_ID, 6)]


def test_what_was_not_stored_is_not_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, camera=WITH_MAIN)
    told: list[UUID] = []
    (tmp_path / "evidence").write_bytes(b"in the way")
    desk.desk.on_stored = told.append
    desk.happen(seen=picture())
    desk.work()
    assert desk.count("pictures", "failed") == 1
    (tmp_path / "evidence").unlink()
    desk.happen(seq=2, seen=picture())
    desk.work()
    assert told == [EVENT_ID]
    desk.main.asked[0](MainPicture(None, NOW, "no picture came"))
    desk.work()
    assert desk.count("main", "missing") == 1
    assert told == [EVENT_ID]
