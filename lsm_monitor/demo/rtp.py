"""H.264 in RTP packets (RFC 3550, RFC 6184), as pure functions.

Single NAL unit packets where a unit fits, FU-A fragments where it does not: the part of
packetization-mode 1 that every player reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PAYLOAD_TYPE = 96
MAX_PAYLOAD_BYTES = 1400
_FU_A = 28
_FU_START, _FU_END = 0x80, 0x40


@dataclass(slots=True)
class RtpCounter:
    """What numbers one client's packets: the next sequence number, and who sends."""

    ssrc: int
    sequence: int


def payloads(nal_unit: bytes) -> Iterator[bytes]:
    """Yield ``nal_unit`` whole, or as FU-A fragments when it exceeds ``MAX_PAYLOAD_BYTES``."""
    if len(nal_unit) <= MAX_PAYLOAD_BYTES:
        yield nal_unit
        return
    indicator = nal_unit[0] & 0xE0 | _FU_A
    nal_type = nal_unit[0] & 0x1F
    size = MAX_PAYLOAD_BYTES - 2
    for start in range(1, len(nal_unit), size):
        header = nal_type
        header |= _FU_START if start == 1 else 0
        header |= _FU_END if start + size >= len(nal_unit) else 0
        yield bytes((indicator, header)) + nal_unit[start : start + size]


def packetize(
    nal_units: tuple[bytes, ...], *, timestamp_ticks: int, counter: RtpCounter
) -> Iterator[bytes]:
    """Yield the RTP packets of one access unit; the last one carries the marker bit.

    Args:
        nal_units: The access unit, in decoding order.
        timestamp_ticks: Presentation time in 1/90,000 s; taken modulo 2**32.
        counter: Advanced by one for each packet.
    """
    parts = [payload for unit in nal_units for payload in payloads(unit)]
    for index, payload in enumerate(parts):
        marker = 0x80 if index == len(parts) - 1 else 0
        yield (
            struct.pack(
                "!BBHII",
                0x80,  # version 2
                marker | PAYLOAD_TYPE,
                counter.sequence,
                timestamp_ticks & 0xFFFFFFFF,
                counter.ssrc,
            )
            + payload
        )
        counter.sequence = (counter.sequence + 1) & 0xFFFF


def interleave(packet: bytes, channel: int) -> bytes:
    """Return ``packet`` framed for the RTSP connection (RFC 2326, 10.12)."""
    return struct.pack("!cBH", b"$", channel, len(packet)) + packet
