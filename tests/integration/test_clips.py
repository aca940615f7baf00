"""Clips of original packets, from a real camera through a capture process."""

from __future__ import annotations

import contextlib
import io
import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from lsm_monitor.capture import wire
from lsm_monitor.capture.clip import clip_of
from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.packet_ring import PacketRing, RingLimits
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId
from tests.http_camera import HttpCamera, folder
from tests.integration.test_capture_http import hls_spec, make_playlist
from tests.integration.told_fleet import TIMEOUT_S, Told, camera
from tests.reading import FPS, street
from tests.rtsp_codecs import HevcConnection, JpegConnection, hevc_clip, jpeg_clip
from tests.rtsp_faults import Behaviour, FaultyCamera, hang_up_after, healthy

pytestmark = [pytest.mark.slow]

IMAGES = [street(3 * i) for i in range(20)]
H264 = encode_clip(IMAGES, fps=FPS, gop_s=0.5)
BRIDGE = CameraId("bridge")
RING = RingLimits(before_s=1.0, max_bytes=2**20)


class Clips(Told):
    """A fleet and the clips that came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.clips: queue.SimpleQueue[tuple[wire.Clip, bytes | None]] = queue.SimpleQueue()
        self.fleet._on_clip = lambda clip, data: self.clips.put((clip, data))

    def cut(self, before_s: float, after_s: float) -> tuple[wire.Clip, bytes | None]:
        now_s = SystemClock().monotonic_s()
        self.fleet.order_clip(wire.CutClip(BRIDGE, 7, now_s - before_s, now_s + after_s))
        return self.clips.get(timeout=TIMEOUT_S)


@contextmanager
def watched(
    clip: Clip, behaviours: list[Behaviour], ring: RingLimits | None = RING
) -> Iterator[Clips]:
    with FaultyCamera(clip, behaviours) as source, Clips().running() as told:
        assert isinstance(told, Clips)
        told.fleet.put(replace(camera(BRIDGE, source.url), ring=ring))
        told.next_frame(BRIDGE)
        yield told


@pytest.mark.parametrize(
    ("clip", "behaviour", "codec"),
    [
        pytest.param(H264, healthy, "h264", id="H.264"),
        pytest.param(hevc_clip(IMAGES, fps=FPS, gop=5), HevcConnection, "hevc", id="H.265"),
        pytest.param(jpeg_clip(IMAGES, fps=FPS), JpegConnection, "mjpeg", id="JPEG"),
    ],
)
def test_a_clip_plays_from_its_first_picture_and_shows_what_the_camera_saw(
    clip: Clip, behaviour: Behaviour, codec: str
) -> None:
    with watched(clip, [behaviour]) as told:
        for _ in range(3):
            told.next_frame(BRIDGE)
        news, data = told.cut(before_s=0.5, after_s=1.0)
    assert (news.problem, news.codec, news.clip_id) == ("", codec, 7)
    assert data is not None
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == codec
        assert (stream.width, stream.height) == (128, 96)
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert not any(packet.is_discard for packet in packets)
    with av.open(io.BytesIO(data), "r") as container:
        frames = list(container.decode(video=0))
    assert packets[0].is_keyframe
    assert packets[0].dts == packets[0].pts == 0
    times_s = [frame.time for frame in frames]
    assert times_s == pytest.approx([i / FPS for i in range(len(packets))], abs=1e-3)
    assert news.duration_s == pytest.approx(times_s[-1], abs=1e-3)
    assert 1.3 <= news.duration_s <= 3.0
    first = frames[0].to_ndarray(format="rgb24").astype(int)
    shift = min(range(0, 60, 3), key=lambda px: np.abs(first - street(px)).mean())
    for number, frame in enumerate(frames):
        expected = street((shift + 3 * number) % 60)
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - expected).mean() < 12


def test_a_clip_ends_where_the_camera_hung_up() -> None:
    with watched(H264, [hang_up_after(13), healthy]) as told:
        news, data = told.cut(before_s=5.0, after_s=3.0)
    assert data is not None
    with av.open(io.BytesIO(data), "r") as container:
        pictures = len(list(container.decode(video=0)))
    assert pictures <= 13
    assert news.duration_s < 1.3


def test_a_camera_that_keeps_no_packets_or_that_nobody_holds_gives_a_reason() -> None:
    with watched(H264, [healthy], ring=None) as told:
        news, data = told.cut(0.5, 0.1)
        assert (news.problem, data) == ("no packets of this camera are kept", None)
        told.fleet.remove(BRIDGE)
        while news.problem != "nobody holds the camera":  # until it has let go
            news, data = told.cut(0.5, 0.1)
        assert data is None


@pytest.mark.parametrize(
    ("how", "codec"),
    [({}, "h264"), ({"hls_segment_type": "fmp4"}, None)],
    ids=["transport stream", "fragments of MP4"],
)
def test_clips_of_a_playlist_are_cut_where_its_packets_stand_for_themselves(
    tmp_path: Path, how: dict[str, str], codec: str | None
) -> None:
    make_playlist(tmp_path, **how)
    ring = PacketRing(RingLimits(before_s=60.0, max_bytes=2**20))
    with HttpCamera() as source:
        source.routes |= folder(tmp_path)
        opened = open_source(
            hls_spec(source), metrics=Metrics(), clock=SystemClock(), ring=ring
        )
        with contextlib.closing(opened):
            list(itertools.islice(opened.pictures(threading.Event()), 3))
    recording = ring.record(0.0, float("inf"))
    assert recording is not None
    assert (recording.stream and recording.stream.codec) == codec
    if recording.stream is not None:
        clip = clip_of(recording.stream, recording.packets)
        with av.open(io.BytesIO(clip), "r") as container:
            frames = list(container.decode(video=0))
        assert (len(frames), frames[0].width) == (len(recording.packets), 320)
        assert len(frames) >= 10
