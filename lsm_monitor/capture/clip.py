"""A clip of original packets as an MP4: nothing is coded anew.

FFmpeg needs to know how large the pictures are, which only
the decoder can tell: so the first key frame is decoded, and a clip that nobody could play is
not made.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import av

from lsm_monitor.capture.decoder import LIMITS
from lsm_monitor.capture.packet_ring import CodedPacket, CodedStream
from lsm_monitor.capture.parameter_sets import parameter_sets
from lsm_monitor.errors import ClipError


def clip_of(stream: CodedStream, packets: Sequence[CodedPacket]) -> bytes:
    """Return ``packets``, the first of which is a key frame, as an MP4 file.

    Raises:
        ClipError: They cannot be decoded, or not be put into an MP4.
    """
    first = packets[0].data
    if stream.parameters and not parameter_sets(stream.codec, first):
        first = stream.parameters + first
    try:
        width_px, height_px = _size_of(stream.codec, first)
        file, shown = io.BytesIO(), 1
        with av.open(file, "w", format="mp4") as container:
            track = container.add_mux_stream(
                stream.codec, width=width_px, height=height_px, time_base=stream.time_base
            )
            times = rising_times(packets)
            for index, (packet, (pts, dts)) in enumerate(zip(packets, times, strict=True)):
                coded = av.Packet(packet.data if index else first)
                coded.pts, coded.dts = pts, dts
                # Players leave out a last picture that lasts no time.
                shown_until = times[index + 1][1] if index + 1 < len(times) else dts + shown
                coded.duration = shown = shown_until - dts
                coded.time_base = stream.time_base
                coded.is_keyframe = packet.is_key
                coded.stream = track
                container.mux(coded)
    except av.FFmpegError as exc:
        msg = f"the packets cannot be put into a file ({exc.strerror})"
        raise ClipError(msg) from None
    return file.getvalue()


def rising_times(packets: Sequence[CodedPacket]) -> list[tuple[int, int]]:
    """Return when each packet is shown and when it is decoded, in ticks; both from zero on.

    Cameras tell over RTP when a picture is shown, not when it is decoded. So decoding goes by
    the same times in rising order, and everything is shown so much later that no picture is
    shown before it is decoded. The distances between pictures stay as they are.
    """
    decoded: list[int] = []
    for pts in sorted(packet.pts for packet in packets):
        decoded.append(max(pts, decoded[-1] + 1) if decoded else pts)
    delay = max(dts - packet.pts for packet, dts in zip(packets, decoded, strict=True))
    zero = decoded[0] - delay
    return [
        (packet.pts - zero, dts - decoded[0])
        for packet, dts in zip(packets, decoded, strict=True)
    ]


def _size_of(codec: str, key_frame: bytes) -> tuple[int, int]:
    """Return width and height in pixels."""
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)  # noqa: S101 - all of CODECS code video
    decoder.options = LIMITS
    for frame in [*decoder.decode(av.Packet(key_frame)), *decoder.decode(None)]:
        return frame.width, frame.height
    msg = "its first key frame cannot be decoded"
    raise ClipError(msg)
