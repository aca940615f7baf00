import struct

from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.demo.clip import split_annex_b
from lsm_monitor.demo.rtp import (
    MAX_PAYLOAD_BYTES,
    RtpCounter,
    interleave,
    packetize,
    payloads,
)

# Sizes on both sides of one packet, and contents that show a byte out of place.
nal_units = st.builds(
    lambda size, seed: b"\x65" + bytes((seed + i * i) % 251 for i in range(size)),
    st.integers(0, 5 * MAX_PAYLOAD_BYTES),
    st.integers(0, 250),
)


def _reassemble(parts: list[bytes]) -> bytes:
    """RFC 6184's receiver: the NAL header is shared out over the fragments."""
    if len(parts) == 1:
        return parts[0]
    header = parts[0][0] & 0xE0 | parts[0][1] & 0x1F
    return bytes([header]) + b"".join(part[2:] for part in parts)


@given(nal_unit=nal_units)
def test_fragments_put_together_are_the_unit(nal_unit: bytes) -> None:
    parts = list(payloads(nal_unit))
    assert _reassemble(parts) == nal_unit
    assert all(len(part) <= MAX_PAYLOAD_BYTES for part in parts)


@given(size=st.integers(MAX_PAYLOAD_BYTES + 1, 10 * MAX_PAYLOAD_BYTES))
def test_only_the_first_fragment_starts_and_only_the_last_ends(size: int) -> None:
    headers = [part[1] for part in payloads(bytes(size))]
    assert [header & 0xC0 for header in headers] == [0x80, *[0] * (len(headers) - 2), 0x40]


@given(units=st.lists(nal_units, min_size=1, max_size=3), first=st.integers(0, 0xFFFF))
def test_packets_count_on_and_only_the_last_of_a_picture_is_marked(
    units: list[bytes], first: int
) -> None:
    counter = RtpCounter(ssrc=7, sequence=first)
    packets = list(packetize(tuple(units), timestamp_ticks=2**32 + 5, counter=counter))
    fields = [struct.unpack("!BBHII", packet[:12]) for packet in packets]
    assert [field[2] for field in fields] == [
        (first + index) % 2**16 for index in range(len(packets))
    ]
    assert [field[1] >> 7 for field in fields] == [0] * (len(packets) - 1) + [1]
    assert {(field[0], field[1] & 0x7F, field[3], field[4]) for field in fields} == {
        (0x80, 96, 5, 7)
    }
    assert counter.sequence == (first + len(packets)) % 2**16


def test_an_interleaved_packet_names_its_channel_and_length() -> None:
    assert interleave(b"abc", 2) == b"$\x02\x00\x03abc"


def test_annex_b_is_split_at_both_kinds_of_start_code() -> None:
    stream = b"\x00\x00\x00\x01\x67\x42\x00\x00\x00\x01\x68\x01\x00\x00\x01\x65\x88\x80"
    assert split_annex_b(stream) == [b"\x67\x42", b"\x68\x01", b"\x65\x88\x80"]
