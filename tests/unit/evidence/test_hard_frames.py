"""Doubtful pictures: the most doubtful of each slot is kept, and nothing else waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.commands import pictures
from lsm_monitor.evidence import hard_frames as module
from lsm_monitor.evidence.hard_frames import FOLDER, HardFrames
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame, FrameStamp, WaterMask

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
THRESHOLD = 0.6


def seen(
    minutes: float, doubt: float, *, camera: str = "street", grey: int = 128
) -> tuple[Frame, WaterMask]:
    """Return a flat picture, of which the model doubts a share."""
    at = NOON + timedelta(minutes=minutes)
    stamp = FrameStamp(CameraId(camera), 1, 0, None, at, 60.0 * minutes)
    probability = np.zeros((10, 100), np.float32)
    probability[:, : round(100 * doubt)] = THRESHOLD + 0.1
    image = np.full((90, 160, 3), grey, np.uint8)
    return Frame(stamp, image), WaterMask(stamp, probability, THRESHOLD, 1.0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(tmp_path: Path, metrics: Metrics) -> Callable[..., HardFrames]:
    def make(max_bytes: int = 2**20) -> HardFrames:
        return HardFrames(tmp_path, per_day=24, max_bytes=max_bytes, metrics=metrics)

    return make


def show(kept: HardFrames, *pictures: tuple[Frame, WaterMask]) -> None:
    """Offer pictures as the inference thread does, each stored before the next comes."""
    for picture in pictures:
        kept.offer(*picture)
        while kept._queue.qsize():
            kept._store(kept._queue.get_nowait())


def greys(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder / FOLDER)): round(float(pictures.read_rgb(path).mean()))
        for path in sorted((folder / FOLDER).glob("*/*.jpg"))
    }


def test_of_each_slot_the_most_doubtful_picture_is_kept_with_its_time(
    tmp_path: Path, make: Callable[..., HardFrames]
) -> None:
    show(
        make(),
        seen(0, 0.1, grey=50),
        seen(20, 0.5, grey=100),
        seen(40, 0.3, grey=150),
        seen(60, 0.2, grey=200),
        seen(5, 0.2, camera="square", grey=30),
    )
    assert greys(tmp_path) == {
        "square/20260701T120000Z.jpg": 30,
        "street/20260701T120000Z.jpg": 100,
        "street/20260701T130000Z.jpg": 200,
    }
    path = tmp_path / FOLDER / "street" / "20260701T120000Z.jpg"
    assert path.stat().st_mtime == (NOON + timedelta(minutes=20)).timestamp()


def test_a_picture_the_model_is_sure_of_is_not_kept(
    tmp_path: Path, make: Callable[..., HardFrames]
) -> None:
    show(make(), seen(0, 0.0))
    assert greys(tmp_path) == {}


def test_after_a_restart_a_slot_that_is_taken_stays_as_it_is(
    tmp_path: Path, make: Callable[..., HardFrames]
) -> None:
    show(make(), seen(0, 0.5, grey=50))
    show(make(), seen(30, 0.1, grey=100), seen(60, 0.1, grey=150))
    assert list(greys(tmp_path).values()) == [50, 150]


def test_beyond_its_room_the_oldest_of_all_cameras_go(
    tmp_path: Path, make: Callable[..., HardFrames]
) -> None:
    kept = make(max_bytes=3000)
    for hour in range(12):
        show(kept, seen(60 * hour, 0.5, camera=f"camera-{hour % 3}"))
    files = list((tmp_path / FOLDER).glob("*/*.jpg"))
    assert sum(path.stat().st_size for path in files) <= 3000
    assert max(path.name for path in files) == "20260701T230000Z.jpg"
    assert min(path.name for path in files) > "20260701T140000Z.jpg"


def test_what_is_too_much_for_the_disk_is_dropped_and_counted(
    tmp_path: Path,
    make: Callable[..., HardFrames],
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = make()
    for hour in range(6):
        kept.offer(*seen(60 * hour, 0.5))
    assert metrics.snapshot()['lsm_hard_frames_total{outcome="dropped"}'] == 2
    monkeypatch.setattr(module, "_RESERVE_BYTES", 1 << 60)
    kept._store(kept._queue.get_nowait())
    assert metrics.snapshot()['lsm_hard_frames_total{outcome="failed"}'] == 1
    assert greys(tmp_path) == {}


def test_the_thread_stores_what_comes_until_it_is_told_to_stop(
    tmp_path: Path, make: Callable[..., HardFrames], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, stop = make(), threading.Event()
    kept.offer(*seen(0, 0.5, grey=77))
    store = kept._store

    def store_and_stop(frame: Frame) -> None:
        store(frame)
        stop.set()

    monkeypatch.setattr(kept, "_store", store_and_stop)
    kept.run(stop)
    assert list(greys(tmp_path).values()) == [77]
