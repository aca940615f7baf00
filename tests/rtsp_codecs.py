"""H.265 (RFC 7798) and motion JPEG (RFC 2435) over RTP, for the camera of the tests."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.clip import TICKS_PER_S, AccessUnit, Clip, split_annex_b
from lsm_monitor.demo.rtp import MAX_PAYLOAD_BYTES, PAYLOAD_TYPE, RtpCounter
from lsm_monitor.demo.rtsp_connection import RtspConnection
from lsm_monitor.demo.rtsp_wire import TRACK

_FU = 49
_JPEG_TYPE = 26
_TABLES_ARE_SENT = 255


def hevc_clip(images: Sequence[npt.NDArray[np.uint8]], *, fps: int, gop: int) -> Clip:
    """Return ``images`` as H.265, a key picture every ``gop``, no B-frames."""
    encoder = av.CodecContext.create("libx265", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    height_px, width_px = images[0].shape[:2]
    encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(fps), Fraction(1, fps)
    rules = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:repeat-headers=1:pools=1"
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x265-params": f"{rules}:log-level=none",
    }
    frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in images]
    coded = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    units = tuple(
        AccessUnit(
            tuple(split_annex_b(bytes(packet))), index * TICKS_PER_S // fps, packet.is_keyframe
        )
        for index, packet in enumerate(coded)
    )
    return Clip(width_px, height_px, fps, b"", b"", units)


def jpeg_clip(images: Sequence[npt.NDArray[np.uint8]], *, fps: int) -> Clip:
    """Return ``images`` as JPEGs; width and height must be multiples of 16."""
    height_px, width_px = images[0].shape[:2]
    units = tuple(
        AccessUnit(
            (cv2.imencode(".jpg", image[..., ::-1])[1].tobytes(),),
            index * TICKS_PER_S // fps,
            is_key=True,
        )
        for index, image in enumerate(images)
    )
    return Clip(width_px, height_px, fps, b"", b"", units)


class HevcConnection(RtspConnection):
    """Sends an H.265 clip."""

    def description(self) -> bytes:
        return _sdp(PAYLOAD_TYPE, "H265/90000")

    def packets(self, unit: AccessUnit, timestamp_ticks: int) -> Iterator[bytes]:
        payloads = [p for nal in unit.nal_units for p in hevc_payloads(nal)]
        return _packets(payloads, PAYLOAD_TYPE, timestamp_ticks, self.counter)


class JpegConnection(RtspConnection):
    """Sends a clip of JPEGs."""

    def description(self) -> bytes:
        return _sdp(_JPEG_TYPE, "JPEG/90000")

    def packets(self, unit: AccessUnit, timestamp_ticks: int) -> Iterator[bytes]:
        payloads = list(jpeg_payloads(unit.nal_units[0]))
        return _packets(payloads, _JPEG_TYPE, timestamp_ticks, self.counter)


def hevc_payloads(nal: bytes) -> Iterator[bytes]:
    """Yield ``nal`` whole, or as fragmentation units."""
    if len(nal) <= MAX_PAYLOAD_BYTES:
        yield nal
        return
    nal_type = nal[0] >> 1 & 63
    header = bytes((nal[0] & 0x81 | _FU << 1, nal[1]))
    for start in range(2, len(nal), MAX_PAYLOAD_BYTES - 3):
        piece = nal[start : start + MAX_PAYLOAD_BYTES - 3]
        is_last = start + len(piece) == len(nal)
        yield header + bytes((0x80 * (start == 2) | 0x40 * is_last | nal_type,)) + piece


def jpeg_payloads(data: bytes) -> Iterator[bytes]:
    """Yield the fragments of a baseline 4:2:0 JPEG with the usual Huffman tables."""
    segments = dict[int, list[bytes]]()
    at = 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segments.setdefault(data[at + 1], []).append(data[at + 4 : at + 2 + length])
        at += 2 + length
    at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    frame = segments[0xC0][0]
    assert frame[7] == 0x22, "4:2:0 is what type 1 means"
    height_px, width_px = struct.unpack("!HH", frame[1:5])
    # Each table is preceded by its number; both may share one segment.
    tables = b"".join(segments[0xDB])
    tables = b"".join(tables[i + 1 : i + 65] for i in range(0, len(tables), 65))
    scan = data[at:].removesuffix(b"\xff\xd9")
    for offset in range(0, len(scan), MAX_PAYLOAD_BYTES):
        kind = bytes((1, _TABLES_ARE_SENT, width_px // 8, height_px // 8))
        head = offset.to_bytes(4, "big") + kind
        if offset == 0:
            head += struct.pack("!BBH", 0, 0, len(tables)) + tables
        yield head + scan[offset : offset + MAX_PAYLOAD_BYTES]


def _packets(
    payloads: list[bytes], payload_type: int, timestamp_ticks: int, counter: RtpCounter
) -> Iterator[bytes]:
    for index, payload in enumerate(payloads):
        marker = 0x80 if index == len(payloads) - 1 else 0
        ticks = timestamp_ticks & 0xFFFFFFFF
        sequence, counter.sequence = counter.sequence, (counter.sequence + 1) & 0xFFFF
        header = (0x80, marker | payload_type, sequence, ticks, counter.ssrc)
        yield struct.pack("!BBHII", *header) + payload


def _sdp(payload_type: int, encoding: str) -> bytes:
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=Street camera",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        f"m=video 0 RTP/AVP {payload_type}",
        f"a=rtpmap:{payload_type} {encoding}",
        f"a=control:{TRACK}",
    ]
    return "\r\n".join([*lines, ""]).encode("ascii")
