"""A clip of original packets as an MP4: nothing is coded anew.

Its times start at zero and rise. FFmpeg needs to know how large the pictures are, which only
the decoder can tell: so the first key frame is decoded, and a clip that nobody could play is
not made.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import av

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
            times = list(rising_times(packets))
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


def rising_times(packets: Sequence[CodedPacket]) -> Iterator[tuple[int, int]]:
    """Yield when each packet is shown and decoded, in ticks from the first.

    The decoding times rise strictly, and nothing is shown before it is decoded; times that
    do so already keep their distances.
    """
    last = -1
    for packet in packets:
        last = max(packet.dts - packets[0].dts, last + 1)
        yield max(packet.pts - packets[0].dts, last), last


def _size_of(codec: str, key_frame: bytes) -> tuple[int, int]:
    """Return width and height in pixels."""
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)  # noqa: S101 - all of CODECS code video
    for frame in [*decoder.decode(av.Packet(key_frame)), *decoder.decode(None)]:
        return frame.width, frame.height
    msg = "its first key frame cannot be decoded"
    raise ClipError(msg)
