"""An H.264 clip in memory, ready to be sent over RTP.

The demo's camera must send what a real camera sends, so pictures are encoded the way cameras
encode: H.264, one key frame per second, no B-frames, the parameter sets before every key
frame. An operator's own video is decoded and encoded again, so that any codec FFmpeg reads
will do. Only encoded pictures are kept; seconds, frame rate, size and bit rate are capped, so
that a long film cannot fill the memory.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from lsm_monitor.errors import SourceOpenError
from lsm_monitor.types import HealthCode

logger = logging.getLogger(__name__)

TICKS_PER_S = 90_000
MAX_CLIP_S = 120
MAX_FPS = 10
MAX_SIDE_PX = 1280
_MAX_BIT_RATE = "4M"
_IDR, _SPS, _PPS = 5, 7, 8
_KEPT_NAL_TYPES = frozenset({1, _IDR, _SPS, _PPS})


@dataclass(frozen=True, slots=True, eq=False)
class AccessUnit:
    """One coded picture.

    Attributes:
        nal_units: In decoding order, without start codes; a key picture begins with SPS, PPS.
        pts_ticks: Presentation time from the start of the clip, in 1/90,000 s.
        is_key: Whether decoding can start here.
    """

    nal_units: tuple[bytes, ...]
    pts_ticks: int
    is_key: bool


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A coded video; the first access unit is a key picture.

    Attributes:
        width_px: Width of the pictures.
        height_px: Height of the pictures.
        fps: Pictures per second, constant.
        sps: Sequence parameter set, without start code.
        pps: Picture parameter set, without start code.
        access_units: In order, at least one.
    """

    width_px: int
    height_px: int
    fps: int
    sps: bytes
    pps: bytes
    access_units: tuple[AccessUnit, ...]

    @property
    def duration_ticks(self) -> int:
        """Time from the first picture to the first picture of the next round."""
        return len(self.access_units) * TICKS_PER_S // self.fps


def encode_clip(
    images: Iterable[npt.NDArray[np.uint8]], *, fps: int, gop_s: float = 1.0
) -> Clip:
    """Return ``images`` as H.264.

    Args:
        images: Each (H, W, 3) uint8 RGB, all of one size, H and W even. Taken one by one.
        fps: Pictures per second, a divisor of 90,000.
        gop_s: Time from one key picture to the next.

    Raises:
        ValueError: No image, images of different or odd size, or ``fps`` does not fit.
    """
    if fps < 1 or TICKS_PER_S % fps:
        msg = f"fps must divide {TICKS_PER_S}, got {fps}"
        raise ValueError(msg)
    remaining = iter(images)
    first = next(remaining, None)
    if first is None:
        msg = "a clip needs at least one image"
        raise ValueError(msg)
    height_px, width_px = first.shape[:2]
    if height_px % 2 or width_px % 2:
        msg = f"width and height must be even, got {width_px} x {height_px}"
        raise ValueError(msg)
    encoder = _encoder(width_px, height_px, fps, gop_frames=max(1, round(gop_s * fps)))
    packets: list[list[bytes]] = []
    reformatter = VideoReformatter()  # one for all: PyAV 18 makes a scaler per frame otherwise
    for image in itertools.chain([first], remaining):
        if image.shape != first.shape:
            msg = f"all images must be {first.shape}, got {image.shape}"
            raise ValueError(msg)
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        coded = reformatter.reformat(picture, format="yuv420p")
        coded.pts = None
        packets += [split_annex_b(bytes(packet)) for packet in encoder.encode(coded)]
    packets += [split_annex_b(bytes(packet)) for packet in encoder.encode(None)]
    return _clip_from_nal_units(packets, width_px, height_px, fps)


def _encoder(
    width_px: int, height_px: int, fps: int, *, gop_frames: int
) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)  # noqa: S101 - libx264 codes video
    encoder.width, encoder.height = width_px, height_px
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = Fraction(fps)
    encoder.time_base = Fraction(1, fps)
    encoder.gop_size = gop_frames
    encoder.thread_count = 1  # zerolatency would make one slice per thread
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "profile": "baseline",
        "crf": "22",
        "maxrate": _MAX_BIT_RATE,
        "bufsize": _MAX_BIT_RATE,
        "sc_threshold": "0",
    }
    return encoder


def _clip_from_nal_units(
    packets: list[list[bytes]], width_px: int, height_px: int, fps: int
) -> Clip:
    units = []
    for index, packet in enumerate(packets):
        nal_units = tuple(unit for unit in packet if unit[0] & 31 in _KEPT_NAL_TYPES)
        is_key = any(unit[0] & 31 == _IDR for unit in nal_units)
        units.append(AccessUnit(nal_units, index * TICKS_PER_S // fps, is_key))
    by_type = {unit[0] & 31: unit for unit in units[0].nal_units}
    return Clip(width_px, height_px, fps, by_type[_SPS], by_type[_PPS], tuple(units))


def split_annex_b(data: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B byte stream, without start codes or padding.

    A unit never contains 00 00 01 (emulation prevention) and never ends in a zero byte, so
    splitting at the three-byte code and stripping zeros is exact.
    """
    return [unit for part in data.split(b"\x00\x00\x01") if (unit := part.rstrip(b"\x00"))]


def load_clip(path: Path, *, max_s: int = MAX_CLIP_S) -> Clip:
    """Return the operator's own video as a clip, at most ``max_s`` seconds of it.

    The frame rate is reduced to at most ``MAX_FPS`` and the longer side to at most
    ``MAX_SIDE_PX``; what was cut is logged.

    Raises:
        SourceOpenError: The file is missing, is not a video, or has no picture.
    """
    if not path.is_file():
        msg = f"cannot use {path} as the camera's video: no such file"
        raise SourceOpenError(msg, HealthCode.NOT_FOUND)
    try:
        with av.open(path) as container:
            if not container.streams.video:
                msg = f"cannot use {path} as the camera's video: it has no video track"
                raise SourceOpenError(msg, HealthCode.NO_VIDEO)
            stream = container.streams.video[0]
            fps = _clip_fps(stream.average_rate)
            images = itertools.islice(_resampled(container, stream, fps), max_s * fps)
            clip = encode_clip(images, fps=fps)
    except (av.FFmpegError, ValueError) as exc:
        msg = (
            f"cannot use {path} as the camera's video ({type(exc).__name__}); "
            "give a file that a video player can show, such as an .mp4"
        )
        raise SourceOpenError(msg, HealthCode.INVALID_DATA) from exc
    if len(clip.access_units) == max_s * fps:
        logger.warning("%s: only the first %d s are shown", path, max_s)
    return clip


def _clip_fps(source_fps: Fraction | None) -> int:
    """Return the largest divisor of 90,000 that is neither above the source's nor our rate."""
    limit = MAX_FPS if not source_fps else max(1, min(MAX_FPS, round(source_fps)))
    return next(fps for fps in range(limit, 0, -1) if TICKS_PER_S % fps == 0)


def _resampled(
    container: av.container.InputContainer, stream: av.VideoStream, fps: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the picture to be seen at each multiple of 1 / ``fps``, scaled down to our size."""
    scale = min(1.0, MAX_SIDE_PX / max(stream.width, stream.height, 1))
    width_px, height_px = (
        max(2, round(side * scale) // 2 * 2) for side in (stream.width, stream.height)
    )
    reformatter = VideoReformatter()
    shown: npt.NDArray[np.uint8] | None = None
    yielded = 0
    start_s: float | None = None
    for number, frame in enumerate(container.decode(stream)):
        # PyAV's stubs say float, but a frame without timestamps has None.
        time_s = number / fps if frame.pts is None else frame.time
        start_s = time_s if start_s is None else start_s
        while shown is not None and yielded < (time_s - start_s) * fps:
            yield shown
            yielded += 1
        picture = reformatter.reformat(frame, width_px, height_px, format="rgb24")
        shown = picture.to_ndarray().astype(np.uint8, copy=False)
    if shown is not None:
        yield shown
