"""Clips of packets as cameras should never send them; good ones are in test_packet_ring."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.capture.clip import clip_of
from lsm_monitor.capture.packet_ring import CodedPacket, CodedStream
from lsm_monitor.demo.clip import encode_clip
from lsm_monitor.errors import ClipError
from tests.reading import street

UNITS = encode_clip([street(3 * i) for i in range(6)], fps=10, gop_s=0.3).access_units
WHOLE = [b"".join(b"\x00\x00\x00\x01" + nal for nal in unit.nal_units) for unit in UNITS]
hostile = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(WHOLE),
    st.builds(
        lambda data, at, noise: data[: at % len(data)] + noise + data[at % len(data) :],
        st.sampled_from(WHOLE),
        st.integers(0, 10_000),
        st.binary(max_size=20),
    ),
)
packets = st.builds(
    CodedPacket, hostile, st.integers(-(2**33), 2**33), st.booleans(), st.just(0.0)
)


@settings(max_examples=300, deadline=None)
@given(
    codec=st.sampled_from(["h264", "hevc", "mjpeg"]),
    parameters=st.sampled_from([b"", b"\x00\x00\x01\x67no", b"nonsense"]),
    sent=st.lists(packets, min_size=1, max_size=6),
)
def test_whatever_a_camera_sends_becomes_a_clip_or_a_reason(
    codec: str, parameters: bytes, sent: list[CodedPacket]
) -> None:
    try:
        clip = clip_of(CodedStream(codec, Fraction(1, 90_000), parameters), sent)
    except ClipError as exc:
        reason = str(exc)
        assert reason
    else:
        assert clip[4:8] == b"ftyp"


def test_whole_packets_without_parameter_sets_take_those_that_were_told_before() -> None:
    sets, picture = WHOLE[0].split(b"\x00\x00\x00\x01\x65", 1)
    key = CodedPacket(b"\x00\x00\x00\x01\x65" + picture, 0, is_key=True, arrived_s=0.0)
    clip = clip_of(CodedStream("h264", Fraction(1, 90_000), sets), [key])
    assert b"avcC" in clip
