"""The newest pictures: what is kept of them, when, and what waits."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame, FrameStamp, WaterMask
from lsm_monitor.web.gallery import MAX_SIDE_PX, Gallery
from tests.fakes import FakeClock

AT = datetime(2026, 7, 1, tzinfo=UTC)


class Stage:
    """A gallery whose thread is run by hand."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.metrics = clock, Metrics()
        self.gallery = Gallery(metrics=self.metrics, clock=clock)

    def offer(self, camera: str = "bridge", sequence: int = 0, side_px: int = 32) -> None:
        stamp = FrameStamp(CameraId(camera), 1, sequence, None, AT, self.clock.now_s)
        image = np.zeros((side_px // 2, side_px, 3), np.uint8)
        image[..., 0] = 200  # red
        water = np.zeros((9, 16), np.float32)
        water[:, 8:] = 0.7
        self.gallery.put(Frame(stamp, image), WaterMask(stamp, water, 0.6, 1.0))

    def work(self) -> None:
        """Shrink all that waits."""
        stop = threading.Event()
        waiting = len(self.gallery._waiting)

        def on_new() -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                stop.set()

        self.gallery.on_new = on_new
        if waiting:
            self.gallery.run(stop)

    def counted(self, outcome: str) -> float:
        samples = self.metrics.snapshot()
        return samples.get(f'lsm_gallery_pictures_total{{outcome="{outcome}"}}', 0.0)

    def sequences(self, camera: str = "bridge") -> str | None:
        picture = self.gallery.newest(CameraId(camera))
        return None if picture is None else picture.version.rpartition(".")[2]


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    return Stage(clock)


def test_a_picture_is_shrunk_and_its_colours_stay(stage: Stage) -> None:
    stage.offer(side_px=1920)
    stage.work()
    picture = stage.gallery.newest(CameraId("bridge"))
    assert picture is not None
    image = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (MAX_SIDE_PX // 2, MAX_SIDE_PX, 3)
    assert picture.size_wh == (MAX_SIDE_PX, MAX_SIDE_PX // 2)
    blue, green, red = image[10, 10]
    assert (red > 190, green < 10, blue < 10) == (True, True, True)


def test_the_mask_comes_back_as_the_model_saw_it(stage: Stage) -> None:
    stage.offer()
    stage.work()
    picture = stage.gallery.newest(CameraId("bridge"))
    assert picture is not None
    assert picture.water.shape == (9, 16)
    assert picture.water[:, 8:].all()
    assert not picture.water[:, :8].any()


def test_while_nobody_looks_a_camera_is_kept_once_a_minute(stage: Stage) -> None:
    for sequence in range(13):
        stage.offer(sequence=sequence)
        stage.clock.now_s += 5.0
        stage.work()
    assert stage.sequences() == "12"
    assert (stage.counted("kept"), stage.counted("skipped")) == (2, 11)


def test_while_somebody_looks_every_picture_is_kept(stage: Stage) -> None:
    for sequence in range(4):
        stage.gallery.looked()
        stage.clock.now_s += 5.0
        stage.offer(sequence=sequence)
        stage.work()
    assert stage.counted("kept") == 4


def test_what_waits_is_the_newest_of_each_camera_and_bounded(stage: Stage) -> None:
    stage.gallery.looked()
    for number in range(20):
        stage.offer(f"camera-{number}")
    stage.offer("camera-19", sequence=7)
    assert len(stage.gallery._waiting) == 16
    assert stage.counted("dropped") == 5
    stage.work()
    assert (stage.sequences("camera-0"), stage.sequences("camera-19")) == (None, "7")


def test_a_camera_that_was_dropped_is_taken_the_next_time(stage: Stage) -> None:
    for number in range(17):
        stage.offer(f"camera-{number}")
    stage.work()
    stage.clock.now_s += 1.0
    stage.offer("camera-0", sequence=3)
    stage.work()
    assert stage.sequences("camera-0") == "3"


def test_a_drawing_is_made_once_per_picture_and_few_are_kept(stage: Stage) -> None:
    stage.offer()
    stage.work()
    camera = CameraId("bridge")
    picture = stage.gallery.newest(camera)
    assert picture is not None
    first = stage.gallery.jpeg(camera, picture, "overlay")
    assert stage.gallery.jpeg(camera, picture, "overlay") is first
    for number in range(300):
        stage.gallery.jpeg(CameraId(f"camera-{number}"), picture, "mask")
    assert len(stage.gallery._drawn) == 256


def test_the_pictures_of_cameras_that_are_gone_are_forgotten(stage: Stage) -> None:
    stage.offer("bridge")
    stage.offer("lane")
    stage.work()
    stage.gallery.keep_only([CameraId("lane")])
    assert stage.gallery.versions().keys() == {"lane"}
