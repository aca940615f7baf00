"""Parameter sets of H.264 and H.265: what a decoder must know, the pictures' size for one.

Cameras send them when the stream is opened, before every key frame, or both.
"""

from __future__ import annotations

_START = b"\x00\x00\x01"
_H264_TYPES, _H264_PICTURES = frozenset({7, 8}), range(1, 6)
_HEVC_TYPES, _HEVC_PICTURES = frozenset({32, 33, 34}), range(32)


def parameter_sets(codec: str, data: bytes) -> tuple[bytes, ...]:
    """Return the parameter sets that stand before the picture in a packet.

    Args:
        codec: FFmpeg's name; of others than ``h264`` and ``hevc`` there are none.
        data: NAL units behind start codes (Annex B).
    """
    if codec not in {"h264", "hevc"}:
        return ()
    found = []
    begin = data.find(_START)
    while 0 <= begin < len(data) - len(_START):
        begin += len(_START)
        head = data[begin]
        if codec == "h264":
            kind, wanted, pictures = head & 31, _H264_TYPES, _H264_PICTURES
        else:
            kind, wanted, pictures = (head >> 1) & 63, _HEVC_TYPES, _HEVC_PICTURES
        if kind in pictures:
            break
        end = data.find(_START, begin)
        if kind in wanted:
            found.append(data[begin : len(data) if end < 0 else end].rstrip(b"\x00"))
        begin = end
    return tuple(found)
