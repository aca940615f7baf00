from __future__ import annotations

import io
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.capture.clip import clip_of, rising_times
from lsm_monitor.capture.packet_ring import (
    CodedPacket,
    CodedStream,
    PacketRing,
    Recording,
    RingLimits,
)
from lsm_monitor.capture.parameter_sets import parameter_sets

TICKS_PER_S = 1000
STREAM = CodedStream("h264", Fraction(1, TICKS_PER_S), b"")
START = b"\x00\x00\x00\x01"
SPS, OTHER_SPS, PPS = START + b"\x67small", START + b"\x67large", START + b"\x68pps"
IDR, SLICE = START + b"\x65key", START + b"\x41rest"


def ring_of(before_s: float = 10.0, max_bytes: int = 10_000) -> PacketRing:
    ring = PacketRing(RingLimits(before_s, max_bytes))
    ring.begin(STREAM)
    return ring


def feed(
    ring: PacketRing,
    seconds: range,
    *,
    gop_s: int = 2,
    key: bytes = SPS + PPS + IDR,
    size: int = 100,
) -> None:
    """One packet per second, a key frame in every ``gop_s``th."""
    for second in seconds:
        is_key = second % gop_s == 0
        data = (key if is_key else SLICE).ljust(size, b"x")
        ticks = second * TICKS_PER_S
        ring.add(data, pts=ticks, is_key=is_key, arrived_s=100.0 + second)


def seconds_of(recording: Recording | None) -> list[int]:
    assert recording is not None
    return [round(packet.arrived_s - 100) for packet in recording.packets]


def test_a_clip_begins_with_the_key_frame_before_its_time_and_goes_on_after_the_order() -> None:
    ring = ring_of()
    feed(ring, range(21))
    recording = ring.record(113.5, 124.0)
    feed(ring, range(21, 40))
    assert seconds_of(recording) == list(range(12, 25))
    assert recording is not None
    assert recording.packets[0].is_key


def test_two_clips_at_once_share_the_packets() -> None:
    ring = ring_of()
    feed(ring, range(11))
    one, other = ring.record(104.0, 112.0), ring.record(108.0, 114.0)
    feed(ring, range(11, 20))
    assert seconds_of(one) == list(range(4, 13))
    assert seconds_of(other) == list(range(8, 15))


@given(
    before_s=st.floats(0.1, 60.0),
    max_bytes=st.integers(1, 20_000),
    packets=st.lists(st.tuples(st.booleans(), st.integers(0, 2000)), max_size=120),
)
def test_a_ring_never_holds_more_than_it_may_and_always_begins_with_a_key_frame(
    before_s: float, max_bytes: int, packets: list[tuple[bool, int]]
) -> None:
    ring = ring_of(before_s, max_bytes)
    for second, (is_key, size) in enumerate(packets):
        ticks = second * TICKS_PER_S
        ring.add(bytes(size), pts=ticks, is_key=is_key, arrived_s=float(second))
        recording = ring.record(float("-inf"), float("inf"))
        assert recording is not None
        kept = recording.packets
        ring.finish(recording)
        assert ring.size_bytes == sum(len(packet.data) for packet in kept) <= max_bytes
        assert not kept or kept[0].is_key
        # Without the second group it would reach back far enough.
        later_keys = [packet.arrived_s for packet in kept[1:] if packet.is_key]
        assert not later_keys or later_keys[0] > second - before_s


def test_a_group_that_is_too_large_for_the_ring_costs_the_clip_and_not_the_memory() -> None:
    ring = ring_of(max_bytes=350)
    feed(ring, range(8), gop_s=4)
    assert ring.size_bytes == 0
    feed(ring, range(8, 11), gop_s=4)
    assert seconds_of(ring.record(0.0, 200.0)) == [8, 9, 10]


def test_a_recording_takes_as_much_again_as_the_ring_and_no_more() -> None:
    ring = ring_of(max_bytes=1000)
    feed(ring, range(10))
    recording = ring.record(100.0, 200.0)
    feed(ring, range(10, 60))
    assert seconds_of(recording) == list(range(20))


def test_a_recording_goes_on_where_the_ring_has_no_room_for_the_rest_of_a_group() -> None:
    ring = ring_of(max_bytes=350)
    feed(ring, range(3), gop_s=10)
    recording = ring.record(100.0, 200.0)
    feed(ring, range(3, 6), gop_s=10)
    assert ring.size_bytes == 0
    assert seconds_of(recording) == [0, 1, 2, 3, 4, 5]


def interrupt(ring: PacketRing, how: str) -> int:
    """Break the video after second 10; return the first second after it."""
    if how == "reconnect":
        ring.begin(STREAM)
    elif how == "no time":
        ring.add(SLICE, pts=None, is_key=False, arrived_s=111.0)
    elif how == "back":
        feed(ring, range(2, 3))
    return {"jump": 30, "back": 4}.get(how, 12)


@pytest.mark.parametrize("how", ["reconnect", "no time", "jump", "back", "size"])
def test_no_clip_goes_across_a_break_of_the_video(how: str) -> None:
    ring = ring_of(before_s=100.0)
    feed(ring, range(11))
    recording = ring.record(100.0, 200.0)
    begin = interrupt(ring, how)
    key = (OTHER_SPS if how == "size" else SPS) + PPS + IDR
    feed(ring, range(begin, begin + 5), key=key)
    assert seconds_of(recording) == list(range(11))
    after = seconds_of(ring.record(0.0, 200.0))
    assert after[-5:] == list(range(begin, begin + 5))
    assert after == sorted(after)
    assert len(after) <= 6


def test_what_was_ordered_while_the_camera_is_away_begins_when_it_is_back() -> None:
    ring = ring_of()
    recording = ring.record(100.0, 108.0)
    ring.begin(STREAM)
    feed(ring, range(3, 12))
    assert seconds_of(recording) == [4, 5, 6, 7, 8]
    assert recording is not None
    assert recording.stream == STREAM


@pytest.mark.parametrize(
    "stream",
    [
        CodedStream("rawvideo", Fraction(1, 1000), b""),
        CodedStream("h264", Fraction(1, 1000), b"\x01\x64\x00\x1f"),
    ],
    ids=["codec", "lengths"],
)
def test_video_that_no_clip_can_be_cut_from_takes_no_memory(stream: CodedStream) -> None:
    ring = PacketRing(RingLimits(10.0, 10_000))
    ring.begin(stream)
    feed(ring, range(5))
    recording = ring.record(0.0, 200.0)
    assert recording is not None
    assert (recording.stream, recording.packets, ring.size_bytes) == (None, [], 0)


def test_recordings_are_few() -> None:
    ring = ring_of()
    recordings = [ring.record(0.0, 1.0) for _ in range(5)]
    assert recordings[-1] is None
    assert recordings[0] is not None
    ring.finish(recordings[0])
    assert ring.record(0.0, 1.0) is not None


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1))
def test_decoding_times_rise_and_pictures_keep_their_distances(shown: list[int]) -> None:
    packets = [CodedPacket(b"", pts, is_key=True, arrived_s=0.0) for pts in shown]
    times = rising_times(packets)
    decoded = [dts for _, dts in times]
    assert decoded[0] == 0
    assert all(one < other for one, other in itertools.pairwise(decoded))
    assert all(pts >= dts for pts, dts in times)
    assert [pts - times[0][0] for pts, _ in times] == [pts - shown[0] for pts in shown]


def test_pictures_in_order_are_shown_from_zero_on_as_they_are_decoded() -> None:
    packets = [CodedPacket(b"", pts, is_key=True, arrived_s=0.0) for pts in (500, 600, 700)]
    assert rising_times(packets) == [(0, 0), (100, 100), (200, 200)]


def test_pictures_that_are_sent_before_earlier_ones_are_shown_in_their_order() -> None:
    rng = np.random.default_rng(0)
    images = [np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((16, 16, 1))) for _ in range(24)]
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 128, 96, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"bf": "3", "b_strategy": "0", "g": "12", "crf": "10"}
    frames = [av.VideoFrame.from_ndarray(image.astype(np.uint8)) for image in images]
    coded = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    ring = PacketRing(RingLimits(60.0, 2**20))
    ring.begin(CodedStream("h264", Fraction(1, 25), encoder.extradata or b""))
    for packet in coded:
        ring.add(bytes(packet), pts=packet.pts, is_key=packet.is_keyframe, arrived_s=0.0)
    recording = ring.record(-1.0, 1.0)
    assert recording is not None
    assert recording.stream is not None
    shown = [packet.pts for packet in recording.packets]
    assert len(shown) == 24
    assert shown != sorted(shown)
    with av.open(io.BytesIO(clip_of(recording.stream, recording.packets)), "r") as container:
        played = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(played) == 24
    for image, frame in zip(images, played, strict=True):
        assert np.abs(frame.astype(int) - image).mean() < 20


@given(data=st.binary(max_size=200))
def test_any_bytes_have_parameter_sets_or_none(data: bytes) -> None:
    for codec in ("h264", "hevc", "mjpeg"):
        for found in parameter_sets(codec, data):
            assert found in data


def test_parameter_sets_stand_before_the_picture() -> None:
    assert parameter_sets("h264", SPS + PPS + IDR) == (b"\x67small", b"\x68pps")
    assert parameter_sets("h264", IDR + SPS) == ()
    assert parameter_sets(
        "hevc", START + b"\x40vps" + START + b"\x42sps" + START + b"\x26"
    ) == (
        b"\x40vps",
        b"\x42sps",
    )
