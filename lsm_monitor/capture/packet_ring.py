"""The last seconds of what a camera sends, as it sends it: where clips are cut from.

Packets are kept in groups that begin with a key frame, and go by groups: the oldest when the
next one reaches back far enough, or when there is no room. A recording begins with what the
ring holds and goes on until its time is over. Whatever breaks the video, a reconnect, a jump of
the times, another picture size, ends all recordings and empties the ring: no clip goes across.

A packet's bytes are copied once, out of FFmpeg's; the ring and its recordings share them.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

from lsm_monitor.capture.parameter_sets import parameter_sets

CODECS = frozenset({"h264", "hevc", "mjpeg"})
"""FFmpeg's names of those whose packets MP4 can hold as the camera sends them."""
_MAX_JUMP_S = 10.0
_MAX_REORDER_S = 1.0
"""Pictures that are sent before others that are shown first: B-frames."""
_MOST_RECORDINGS = 4


@dataclass(frozen=True, slots=True)
class RingLimits:
    """How much of a camera's packets is kept: seconds, and bytes at most."""

    before_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class CodedStream:
    """What all packets of one connection have in common.

    Attributes:
        codec: FFmpeg's name of the codec.
        time_base: Seconds per tick of the packets' times.
        parameters: Parameter sets that were told when the stream was opened; may be empty.
    """

    codec: str
    time_base: Fraction
    parameters: bytes


@dataclass(frozen=True, slots=True)
class CodedPacket:
    """One coded picture; ``pts`` is in ticks, ``arrived_s`` on the monotonic clock."""

    data: bytes
    pts: int
    is_key: bool
    arrived_s: float


@dataclass(slots=True, eq=False)
class Recording:
    """A clip in the making; ``stream`` is ``None`` when there is nothing to record."""

    stream: CodedStream | None
    packets: list[CodedPacket]
    until_s: float
    size_bytes: int = 0
    is_open: bool = True


class PacketRing:
    """Packets of one camera, added by its thread and recorded by another.

    Args:
        limits: How much is kept; a recording may take as much again.
    """

    def __init__(self, limits: RingLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._stream: CodedStream | None = None
        self._groups: deque[list[CodedPacket]] = deque()
        self._recordings: list[Recording] = []
        self._parameters: tuple[bytes, ...] = ()
        self._last_pts: int | None = None
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """What the kept packets take, without those that only a recording holds."""
        return self._size_bytes

    def begin(self, stream: CodedStream) -> None:
        """Start with a new connection."""
        with self._lock:
            self._break()
            self._stream = stream if _can_be_kept(stream) else None
            self._parameters = ()

    def add(self, data: bytes, *, pts: int | None, is_key: bool, arrived_s: float) -> None:
        """Keep one more packet; ``pts`` is in ticks, ``arrived_s`` on the monotonic clock."""
        stream = self._stream
        if stream is None:
            return
        with self._lock:
            if pts is None:
                self._break()
                return
            if self._is_broken_by(stream, pts, data if is_key else None):
                self._break()
            self._last_pts = pts
            self._keep(CodedPacket(data, pts, is_key, arrived_s))

    def record(self, from_s: float, until_s: float) -> Recording | None:
        """Begin a recording; ``None`` when there are too many.

        It begins with the last key frame that arrived before ``from_s``, or with the oldest
        there is, and with a key frame in any case.
        """
        with self._lock:
            if len(self._recordings) >= _MOST_RECORDINGS:
                return None
            groups = list(self._groups)
            while len(groups) > 1 and groups[1][0].arrived_s <= from_s:
                del groups[0]
            packets = list(itertools.chain(*groups))
            size_bytes = sum(len(packet.data) for packet in packets)
            recording = Recording(self._stream, packets, until_s, size_bytes)
            self._recordings.append(recording)
            return recording

    def finish(self, recording: Recording) -> None:
        """End a recording; it takes no more packets."""
        with self._lock:
            recording.is_open = False
            if recording in self._recordings:
                self._recordings.remove(recording)

    # Everything below is called with the lock held.

    def _is_broken_by(self, stream: CodedStream, pts: int, key_data: bytes | None) -> bool:
        if self._last_pts is not None:
            step_s = (pts - self._last_pts) * stream.time_base
            if not -_MAX_REORDER_S <= step_s <= _MAX_JUMP_S:
                return True
        if key_data is None:
            return False
        before, now = self._parameters, parameter_sets(stream.codec, key_data)
        self._parameters = now or before
        return bool(before and now) and before != now

    def _break(self) -> None:
        for recording in self._recordings:
            recording.is_open = not recording.packets
        self._groups.clear()
        self._size_bytes = 0
        self._last_pts = None

    def _keep(self, packet: CodedPacket) -> None:
        for recording in self._recordings:
            self._go_on(recording, packet)
        if packet.is_key:
            self._groups.append([])
        if not self._groups:
            return  # nothing can be shown before the next key frame
        self._groups[-1].append(packet)
        self._size_bytes += len(packet.data)
        oldest_s = packet.arrived_s - self._limits.before_s
        while len(self._groups) > 1 and (
            self._groups[1][0].arrived_s <= oldest_s
            or self._size_bytes > self._limits.max_bytes
        ):
            self._drop_oldest()
        if self._size_bytes > self._limits.max_bytes:  # one group alone is too much
            self._drop_oldest()

    def _go_on(self, recording: Recording, packet: CodedPacket) -> None:
        if not recording.is_open or not (recording.packets or packet.is_key):
            return
        is_full = recording.size_bytes + len(packet.data) > 2 * self._limits.max_bytes
        if packet.arrived_s > recording.until_s or is_full:
            recording.is_open = False
            return
        if not recording.packets:
            recording.stream = self._stream
        recording.packets.append(packet)
        recording.size_bytes += len(packet.data)

    def _drop_oldest(self) -> None:
        gone = self._groups.popleft()
        self._size_bytes -= sum(len(packet.data) for packet in gone)


def _can_be_kept(stream: CodedStream) -> bool:
    """Whether packets stand for themselves: not with lengths, as in fragments of an MP4."""
    return stream.codec in CODECS and not stream.parameters.startswith(b"\x01")
