from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.probe import probe
from lsm_monitor.capture.source import Picture, SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import SourceEndedError, SourceOpenError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, HealthCode
from tests.fakes import FakeClock

MakeVideo = Callable[..., io.BytesIO]


class RecordingStop(threading.Event):
    """A stop event on which waiting moves the clock instead of taking time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now_s += timeout or 0.0
        return self.is_set()


def spec(path: Path, interval_s: float = 1.0) -> SourceSpec:
    config = CameraConfig(url=str(path), interval_s=interval_s)
    return SourceSpec.from_config(CameraId("bridge"), config)


@pytest.fixture
def video(tmp_path: Path, make_video: MakeVideo) -> Path:
    """Three seconds at 4 pictures per second; picture ``i`` is a grey of ``10 * i``."""
    path = tmp_path / "street: 1.mp4"
    path.write_bytes(make_video(frames=12, fps=4).getvalue())
    return path


def read(pictures: Iterator[Picture]) -> tuple[list[Picture], SourceEndedError]:
    """Return what came before the end, and the end."""
    seen: list[Picture] = []
    try:
        seen.extend(pictures)
    except SourceEndedError as ended:
        return seen, ended
    pytest.fail("a file must say that it is over")


def test_replay_keeps_one_picture_per_interval_on_the_videos_clock(
    video: Path, clock: FakeClock
) -> None:
    metrics = Metrics()
    source = open_source(spec(video), metrics=metrics, clock=clock, replay=True)
    pictures, ended = read(source.pictures(threading.Event()))
    source.close()
    assert [picture.pts_s for picture in pictures] == [0.0, 1.0, 2.0]
    assert [picture.sequence for picture in pictures] == [0, 4, 8]
    assert ended.code is HealthCode.ENDED
    assert str(ended) == f"camera 'bridge': {video} is over"
    snapshot = metrics.snapshot()
    assert snapshot['lsm_camera_frames_total{camera="bridge",stage="received"}'] == 12
    assert snapshot['lsm_camera_frames_total{camera="bridge",stage="decoded"}'] == 3
    skipped = 'lsm_camera_packets_skipped_total{camera="bridge",reason="not_due"}'
    assert snapshot[skipped] == 9


@pytest.mark.parametrize("turned_by", [0, 90, 180, -90])
def test_a_video_that_a_phone_took_upright_is_seen_upright(
    tmp_path: Path, clock: FakeClock, turned_by: int
) -> None:
    stored = np.zeros((64, 128, 3), np.uint8)
    stored[:, :32] = 255
    path = tmp_path / "phone.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        stream.set_display_rotation(turned_by)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode(None))
    source = open_source(spec(path), metrics=Metrics(), clock=clock, replay=True)
    image = next(iter(source.pictures(threading.Event()))).image
    source.close()
    expected = np.rot90(stored, turned_by // 90)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 5
    assert image.flags.c_contiguous


@pytest.mark.parametrize("side_px", [64, 8200], ids=["usual", "huge"])
def test_a_picture_of_more_pixels_than_a_still_may_have_is_not_decoded(
    tmp_path: Path, clock: FakeClock, side_px: int
) -> None:
    path = tmp_path / "huge.mjpeg"
    still = cv2.imencode(".jpg", np.zeros((side_px, side_px), np.uint8))[1].tobytes()
    path.write_bytes(2 * still)
    metrics = Metrics()
    source = open_source(spec(path), metrics=metrics, clock=clock, replay=True)
    pictures, _ = read(source.pictures(threading.Event()))
    source.close()
    corrupt = 'lsm_camera_packets_skipped_total{camera="bridge",reason="corrupt"}'
    assert bool(pictures) is (side_px == 64)
    assert metrics.snapshot().get(corrupt, 0) == (0 if pictures else 2)


def test_pictures_are_rgb_and_belong_to_the_receiver(video: Path, clock: FakeClock) -> None:
    source = open_source(spec(video, 0.25), metrics=Metrics(), clock=clock, replay=True)
    pictures, _ = read(source.pictures(threading.Event()))
    source.close()
    assert len(pictures) == 12
    for i, picture in enumerate(pictures):
        assert picture.image.shape == (48, 64, 3)
        assert picture.image.dtype == np.uint8
        assert picture.image.flags.c_contiguous
        assert abs(int(picture.image.mean()) - 10 * i) <= 2


def test_live_a_file_plays_at_the_speed_it_was_filmed(video: Path, clock: FakeClock) -> None:
    source = open_source(spec(video), metrics=Metrics(), clock=clock)
    pictures = source.pictures(RecordingStop(clock))
    times = [clock.now_s for _ in itertools.islice(pictures, 3)]
    source.close()
    assert times == pytest.approx([1000.0, 1001.0, 1002.0])


def test_a_stop_ends_the_pace_and_the_pictures(video: Path) -> None:
    source = open_source(spec(video), metrics=Metrics(), clock=SystemClock())
    stop = threading.Event()
    pictures = source.pictures(stop)
    next(pictures)
    stop.set()
    assert next(pictures, None) is None
    source.close()


def test_closing_twice_is_allowed(video: Path, clock: FakeClock) -> None:
    source = open_source(spec(video), metrics=Metrics(), clock=clock)
    source.close()
    source.close()


@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_video_with_b_frames_is_complete_and_in_order(
    tmp_path: Path, clock: FakeClock, b_frames: int
) -> None:
    path = tmp_path / "b.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": str(b_frames)})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(20):
            image = np.full((48, 64, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    source = open_source(spec(path, 0.1), metrics=Metrics(), clock=clock, replay=True)
    pictures, _ = read(source.pictures(threading.Event()))
    source.close()
    assert [picture.pts_s for picture in pictures] == pytest.approx([i / 10 for i in range(20)])


def test_damaged_pictures_are_skipped_and_counted(tmp_path: Path, video: Path) -> None:
    data = bytearray(video.read_bytes())
    media_at = data.index(b"mdat") + 4
    with av.open(str(video), "r") as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for position, size in packets[4:8]:
        assert position is not None
        assert position >= media_at
        data[position : position + size] = bytes(size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    metrics = Metrics()
    source = open_source(spec(path, 0.25), metrics=metrics, clock=FakeClock(), replay=True)
    pictures, _ = read(source.pictures(threading.Event()))
    source.close()
    assert 4 <= len(pictures) < 12
    key = 'lsm_camera_packets_skipped_total{camera="bridge",reason="corrupt"}'
    assert metrics.snapshot()[key] >= 1


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("missing.mp4", None, HealthCode.NOT_FOUND),
        ("text.mp4", b"not a video " * 100, HealthCode.INVALID_DATA),
        ("empty.mp4", b"", HealthCode.INVALID_DATA),
    ],
)
def test_what_is_no_video_says_so(
    tmp_path: Path, clock: FakeClock, name: str, content: bytes | None, code: HealthCode
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceOpenError, match=name) as caught:
        open_source(spec(path), metrics=Metrics(), clock=clock)
    assert caught.value.code is code


def test_a_file_with_sound_only_has_no_video(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceOpenError, match="it has no video") as caught:
        open_source(spec(path), metrics=Metrics(), clock=clock)
    assert caught.value.code is HealthCode.NO_VIDEO


def test_a_probe_reports_what_a_file_is(video: Path) -> None:
    report = probe(spec(video), clock=SystemClock())
    assert report.size_wh == (64, 48)
    assert report.facts.codec == "h264"
    assert report.facts.fps == pytest.approx(4.0)
    assert report.facts.has_timestamps
    assert report.image.shape == (48, 64, 3)
    # All pictures of the clip are of one grey: the first that is not too dark is as useless.
    assert report.codes in {(HealthCode.DARK,), (HealthCode.BLANK,)}
    assert report.open_s <= report.first_picture_s


def matroska() -> bytes:
    """Return a clip whose title and codec's name stand in it as text."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            image = np.full((48, 64, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def test_a_codec_that_nobody_knows_is_a_source_error(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(matroska().replace(b"V_MPEG4/ISO/AVC", b"V_NOBODY/KNOWS_"))
    with pytest.raises(SourceOpenError) as caught:
        open_source(spec(path), metrics=Metrics(), clock=SystemClock())
    assert caught.value.code is HealthCode.INVALID_DATA


def test_a_title_that_is_no_text_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(matroska().replace(b"TITLE", b"\xff\xfe\xb2\x84\xf2"))
    source = open_source(spec(path), metrics=Metrics(), clock=SystemClock(), replay=True)
    assert next(source.pictures(threading.Event())).image.shape == (48, 64, 3)
    source.close()
