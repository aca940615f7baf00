from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsm_monitor.capture.folder_source import FolderSource
from lsm_monitor.capture.source import Picture, SourceSpec
from lsm_monitor.capture.still import is_complete
from lsm_monitor.errors import SourceEndedError, SourceOpenError, SourceStalledError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, HealthCode
from tests.fakes import FakeClock


class ClockStop(threading.Event):
    """A stop event on which waiting moves the clock instead of taking time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now_s += timeout or 0.0
        return self.is_set()


def encoded(value: int, suffix: str = ".jpg") -> bytes:
    image = np.full((48, 64, 3), value, np.uint8)
    image[:, :32] = 255 - value
    return cv2.imencode(suffix, image)[1].tobytes()


class Today(FakeClock):
    """Begins today: when a file came here is up to the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self._began_at = datetime.now(UTC)

    def now(self) -> datetime:
        return self._began_at + timedelta(seconds=self.now_s - 1000.0)


class Folder:
    """A folder of pictures whose files are as old as the test says."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path = path
        self.clock = clock
        self.metrics = Metrics()
        self.stop = ClockStop(clock)

    def write(self, name: str, data: bytes, age_s: float = 0.0) -> None:
        path = self.path / name
        path.write_bytes(data)
        modified_s = self.clock.now().timestamp() - age_s
        os.utime(path, (modified_s, modified_s))

    def open(self, *, replay: bool = False) -> Iterator[Picture]:
        spec = SourceSpec(
            camera_id=CameraId("bridge"),
            url=str(self.path),
            username=None,
            password=None,
            transport="tcp",
            decode="keyframes",
            interval_s=10.0,
            open_timeout_s=5.0,
            read_timeout_s=10.0,
        )
        source = FolderSource(spec, metrics=self.metrics, clock=self.clock, replay=replay)
        return source.pictures(self.stop)

    def corrupt(self) -> float:
        key = 'lsm_camera_packets_skipped_total{camera="bridge",reason="corrupt"}'
        return self.metrics.snapshot().get(key, 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, Today())


def value(picture: Picture) -> int:
    return int(picture.image[24, 60, 0])


def test_the_newest_picture_is_taken_and_older_ones_are_passed_over(folder: Folder) -> None:
    folder.write("b.jpg", encoded(10), age_s=5.0)
    folder.write("a.png", encoded(200, ".png"), age_s=1.0)
    pictures = folder.open()
    assert value(next(pictures)) == 200
    folder.write("c.JPG", encoded(60))
    picture = next(pictures)
    assert abs(value(picture) - 60) <= 3
    assert (picture.sequence, picture.pts_s) == (1, None)
    assert picture.image.shape == (48, 64, 3)
    assert picture.image.flags.c_contiguous


def test_colours_are_rgb(folder: Folder) -> None:
    red_in_bgr = np.zeros((16, 16, 3), np.uint8)
    red_in_bgr[..., 2] = 255
    folder.write("red.png", cv2.imencode(".png", red_in_bgr)[1].tobytes())
    assert next(folder.open()).image[0, 0].tolist() == [255, 0, 0]


def test_a_file_that_is_overwritten_is_a_new_picture(folder: Folder) -> None:
    folder.write("latest.jpg", encoded(10))
    pictures = folder.open()
    next(pictures)
    folder.clock.now_s += 7.0
    folder.write("latest.jpg", encoded(120))
    assert abs(value(next(pictures)) - 120) <= 3


def test_a_half_written_picture_waits_until_it_is_complete(folder: Folder) -> None:
    folder.write("old.jpg", encoded(10), age_s=8.0)
    folder.write("new.jpg", encoded(200)[:-200])
    pictures = folder.open()
    assert abs(value(next(pictures)) - 10) <= 3
    assert folder.corrupt() == 1
    folder.write("new.jpg", encoded(200))
    assert abs(value(next(pictures)) - 200) <= 3
    assert folder.corrupt() == 1


def test_a_picture_that_stays_broken_is_counted_once_and_ends_in_a_stall(
    folder: Folder,
) -> None:
    folder.write("broken.jpg", encoded(10)[:-5])
    with pytest.raises(SourceStalledError, match="no new picture for 30 s"):
        next(folder.open())
    assert folder.corrupt() == 1


def test_yesterdays_upload_is_not_taken_for_the_present(folder: Folder) -> None:
    folder.write("yesterday.jpg", encoded(10), age_s=86400.0)
    with pytest.raises(SourceStalledError) as caught:
        next(folder.open())
    assert caught.value.code is HealthCode.STALLED


def test_a_picture_of_the_future_holds_up_no_later_ones(folder: Folder) -> None:
    folder.write("a.jpg", encoded(200), age_s=-86400.0)  # before the camera's clock was set
    pictures = folder.open()
    assert abs(value(next(pictures)) - 200) <= 3
    folder.clock.now_s += 1.0
    folder.write("b.jpg", encoded(60))
    assert abs(value(next(pictures)) - 60) <= 3


def test_a_picture_of_the_future_becomes_history_as_any_other(folder: Folder) -> None:
    folder.write("a.jpg", encoded(200), age_s=-86400.0)
    folder.clock.now_s += 60.0
    with pytest.raises(SourceStalledError):
        next(folder.open())


def test_a_folder_that_stops_receiving_stalls(folder: Folder) -> None:
    folder.write("a.jpg", encoded(10))
    pictures = folder.open()
    next(pictures)
    started_s = folder.clock.now_s
    with pytest.raises(SourceStalledError):
        next(pictures)
    assert folder.clock.now_s - started_s == pytest.approx(40.0)


def test_a_folder_that_vanishes_is_not_found(folder: Folder) -> None:
    folder.write("a.jpg", encoded(10))
    pictures = folder.open()
    next(pictures)
    (folder.path / "a.jpg").unlink()
    folder.path.rmdir()
    with pytest.raises(SourceOpenError, match="no such folder") as caught:
        next(pictures)
    assert caught.value.code is HealthCode.NOT_FOUND
    with pytest.raises(SourceOpenError, match=r"camera 'bridge'.*cameras\.bridge\.url"):
        folder.open()


def test_a_stop_ends_the_pictures(folder: Folder) -> None:
    folder.write("a.jpg", encoded(10))
    pictures = folder.open()
    next(pictures)
    folder.stop.set()
    assert next(pictures, None) is None


def test_other_files_are_left_alone(folder: Folder) -> None:
    folder.write("index.html", b"<html>")
    folder.write("upload.jpg.part", encoded(10))
    with pytest.raises(SourceStalledError):
        next(folder.open())
    assert folder.corrupt() == 0


def test_replay_yields_every_picture_by_name_one_interval_apart(folder: Folder) -> None:
    for name, shade in (("2.jpg", 120), ("10.jpg", 60), ("1.jpg", 20)):
        folder.write(name, encoded(shade), age_s=86400.0)
    folder.write("3.jpg", b"\xff\xd8 no picture")
    pictures = folder.open(replay=True)
    seen = [next(pictures) for _ in range(3)]
    with pytest.raises(SourceEndedError):
        next(pictures)
    assert [abs(value(p) - s) <= 3 for p, s in zip(seen, (20, 60, 120), strict=True)]
    assert [picture.pts_s for picture in seen] == [0.0, 10.0, 20.0]
    assert folder.corrupt() == 1
    assert folder.clock.now_s == 1000.0


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda data: data, id="as it is"),
        pytest.param(lambda data: data + b"\x00" * 512, id="padded"),
        pytest.param(lambda data: data + b"camera 4, 12:00", id="with a note"),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_whole_picture_is_complete_and_none_of_its_beginnings_is(
    make: Callable[[bytes], bytes], suffix: str
) -> None:
    data = encoded(90, suffix)
    assert is_complete(make(data))
    assert not any(is_complete(data[:length]) for length in range(len(data) - 1))


def test_the_end_of_a_preview_is_not_the_end_of_the_picture() -> None:
    preview, data = encoded(10), encoded(90)
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    with_preview = data[:2] + segment + data[2:]
    assert is_complete(with_preview)
    assert not is_complete(with_preview[:-2])
    assert not is_complete(data[:2] + segment)
