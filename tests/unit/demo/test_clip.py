import io
import logging
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from lsm_monitor.demo import clip as clip_module
from lsm_monitor.demo.clip import Clip, encode_clip, load_clip
from lsm_monitor.errors import SourceOpenError
from lsm_monitor.types import HealthCode


def _greys(count: int, size: tuple[int, int] = (64, 48)) -> list[npt.NDArray[np.uint8]]:
    return [np.full((size[1], size[0], 3), 10 * i, np.uint8) for i in range(count)]


def _decode(clip: Clip) -> list[npt.NDArray[np.uint8]]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = []
    for unit in clip.access_units:
        data = b"".join(b"\x00\x00\x00\x01" + nal for nal in unit.nal_units)
        frames += decoder.decode(av.Packet(data))
    frames += decoder.decode(None)
    return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in frames]


def test_a_clip_decodes_to_the_pictures_it_was_made_from() -> None:
    shown = [float(image.mean()) for image in _decode(encode_clip(_greys(12), fps=4))]
    assert shown == pytest.approx([10.0 * i for i in range(12)], abs=3.0)


def test_key_pictures_come_at_the_asked_interval_and_carry_the_parameter_sets() -> None:
    clip = encode_clip(_greys(10), fps=4, gop_s=0.5)
    assert [unit.is_key for unit in clip.access_units] == [True, False] * 5
    for unit in clip.access_units[::2]:
        assert unit.nal_units[:2] == (clip.sps, clip.pps)


def test_times_are_in_ticks_of_a_ninety_thousandth() -> None:
    clip = encode_clip(_greys(4), fps=4)
    assert [unit.pts_ticks for unit in clip.access_units] == [0, 22500, 45000, 67500]
    assert clip.duration_ticks == 90_000


def test_every_picture_is_one_slice_so_that_one_marker_ends_it() -> None:
    clip = encode_clip(_greys(4), fps=4)
    slices = [[nal for nal in unit.nal_units if nal[0] & 31 < 6] for unit in clip.access_units]
    assert [len(parts) for parts in slices] == [1] * 4


@pytest.mark.parametrize(
    ("images", "fps", "problem"),
    [
        pytest.param([], 4, "at least one image", id="none"),
        pytest.param(_greys(1, (63, 48)), 4, "even", id="odd width"),
        pytest.param(_greys(1) + _greys(1, (32, 48)), 4, "all images must be", id="two sizes"),
        pytest.param(_greys(1), 7, "divide", id="7 pictures a second"),
        pytest.param(_greys(1), 0, "divide", id="0 pictures a second"),
    ],
)
def test_unusable_pictures_are_refused(
    images: list[npt.NDArray[np.uint8]], fps: int, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        encode_clip(images, fps=fps)


def _file(path: Path, video: io.BytesIO) -> Path:
    path.write_bytes(video.getvalue())
    return path


def test_an_own_video_is_shown_at_its_own_rate(
    make_video: Callable[..., io.BytesIO], tmp_path: Path
) -> None:
    clip = load_clip(_file(tmp_path / "own.mp4", make_video(frames=12, fps=4)))
    shown = [float(image.mean()) for image in _decode(clip)]
    assert clip.fps == 4
    assert shown == pytest.approx([10.0 * i for i in range(12)], abs=4.0)


def test_a_fast_video_loses_pictures_but_no_time(
    make_video: Callable[..., io.BytesIO], tmp_path: Path
) -> None:
    clip = load_clip(_file(tmp_path / "own.mp4", make_video(frames=25, fps=25)))
    assert clip.fps == clip_module.MAX_FPS
    assert clip.duration_ticks == pytest.approx(90_000, abs=9_000)


def test_a_long_video_is_cut_and_the_cut_is_logged(
    make_video: Callable[..., io.BytesIO], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = _file(tmp_path / "long.mp4", make_video(frames=20, fps=4))
    with caplog.at_level(logging.WARNING):
        clip = load_clip(path, max_s=2)
    assert clip.duration_ticks == 2 * 90_000
    assert "only the first 2 s" in caplog.text


def test_a_large_video_is_scaled_down(
    make_video: Callable[..., io.BytesIO], tmp_path: Path
) -> None:
    path = _file(tmp_path / "wide.mp4", make_video(frames=2, size=(2560, 720)))
    clip = load_clip(path)
    assert (clip.width_px, clip.height_px) == (1280, 360)


@pytest.mark.parametrize("kept_bytes", [0, 300, 900])
def test_a_damaged_video_is_refused_with_a_remedy(
    kept_bytes: int, make_video: Callable[..., io.BytesIO], tmp_path: Path
) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(make_video().getvalue()[:kept_bytes])
    with pytest.raises(SourceOpenError, match=r"broken\.mp4.*such as an \.mp4") as caught:
        load_clip(path)
    assert caught.value.code is HealthCode.INVALID_DATA


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceOpenError, match="no such file") as caught:
        load_clip(tmp_path / "absent.mp4")
    assert caught.value.code is HealthCode.NOT_FOUND


def test_a_sound_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        assert isinstance(stream, av.AudioStream)
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
    with pytest.raises(SourceOpenError, match="no video track") as caught:
        load_clip(path)
    assert caught.value.code is HealthCode.NO_VIDEO
