"""What the daemon and its capture processes say to each other.

A message is one datagram of JSON on a pair of SEQPACKET sockets, so its end is known and a
process that dies is an end of file. A picture does not pass through the socket: it lies in
memory of its own (a memfd), and the datagram carries the right to it. Nothing is copied twice,
and what nobody takes any more is freed by the kernel, whoever died.

The buffer is small on purpose: a daemon that does not read holds up its capture processes
after a few messages, instead of letting pictures pile up.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from pydantic import SecretStr, TypeAdapter

from lsm_monitor.capture.packet_ring import RingLimits
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.types import CameraHealth, CameraId, FrameStamp, HealthCode

_SEND_BUFFER_BYTES = 16 * 1024
_IN_DATAGRAM_BYTES = 4096
_DESCRIPTOR = array.array("i").itemsize
_BESIDE = b"-"  # a datagram that says: the message lies in the memory beside it


@dataclass(frozen=True, slots=True)
class Watch:
    """Order: open this camera and keep it open, or wait for :class:`Visit`.

    What the camera has learnt about its view lies in the memory beside it, if it has.

    Attributes:
        assignment: Grows with every order to watch this camera; comes back in all that the
            process says about it, so that news from before is known as such.
        spec: How to open it, without the password.
        backoff_max_s: Longest wait between two attempts.
        on_visits: Open it only when told to, take one picture, and close it.
        stream_epoch: Number of the first connection.
        health: What was told about the camera last; ``None`` when nothing was.
        password: Password at the camera.
        ring: How much of its packets is kept for clips; ``None``: nothing.
    """

    assignment: int
    spec: SourceSpec
    backoff_max_s: float
    on_visits: bool
    stream_epoch: int
    health: CameraHealth | None
    password: str | None = field(default=None, repr=False)
    ring: RingLimits | None = None
    kind: Literal["watch"] = "watch"

    def sealed(self) -> Self:
        """Return the same with the password where it survives JSON."""
        secret = self.spec.password
        password = None if secret is None else secret.get_secret_value()
        return replace(self, spec=replace(self.spec, password=None), password=password)

    def unsealed(self) -> Self:
        """Return the same with the password back in its place."""
        secret = None if self.password is None else SecretStr(self.password)
        return replace(self, spec=replace(self.spec, password=secret), password=None)


@dataclass(frozen=True, slots=True)
class Forget:
    """Order: close this camera."""

    camera_id: CameraId
    kind: Literal["forget"] = "forget"


@dataclass(frozen=True, slots=True)
class Retime:
    """Order: keep one picture per ``interval_s`` from now on."""

    camera_id: CameraId
    interval_s: float
    kind: Literal["retime"] = "retime"


@dataclass(frozen=True, slots=True)
class Visit:
    """Order: take one good picture of this camera."""

    camera_id: CameraId
    kind: Literal["visit"] = "visit"


@dataclass(frozen=True, slots=True)
class LearnAnew:
    """Order: the camera's zones were drawn anew; forget what it has learnt."""

    camera_id: CameraId
    kind: Literal["learn_anew"] = "learn_anew"


@dataclass(frozen=True, slots=True)
class CutClip:
    """Order: cut a clip out of what this camera sends; times are on the monotonic clock."""

    camera_id: CameraId
    clip_id: int
    from_mono_s: float
    until_mono_s: float
    kind: Literal["cut_clip"] = "cut_clip"


@dataclass(frozen=True, slots=True)
class LogAs:
    """Order: write the log at this level and in this format from now on."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"
    kind: Literal["log_as"] = "log_as"


@dataclass(frozen=True, slots=True)
class Taken:
    """News: a usable picture; its (H, W, 3) uint8 RGB bytes lie in the memory beside it."""

    assignment: int
    stamp: FrameStamp
    shape: tuple[int, int, int]
    kind: Literal["taken"] = "taken"


@dataclass(frozen=True, slots=True)
class Unusable:
    """News: a picture that cannot be judged."""

    assignment: int
    stamp: FrameStamp
    codes: tuple[HealthCode, ...]
    kind: Literal["unusable"] = "unusable"


@dataclass(frozen=True, slots=True)
class Health:
    """News: the health of a camera changed."""

    assignment: int
    health: CameraHealth
    kind: Literal["health"] = "health"


@dataclass(frozen=True, slots=True)
class Learnt:
    """News: what the camera has learnt about its view so far lies in the memory beside it."""

    assignment: int
    camera_id: CameraId
    kind: Literal["learnt"] = "learnt"


@dataclass(frozen=True, slots=True)
class Finished:
    """News: a visit or a file is over, or a fault of ours ended the camera's thread."""

    assignment: int
    camera_id: CameraId
    delivered: bool
    crashed: bool
    kind: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True)
class Clip:
    """News: a clip lies in the memory beside it, as MP4; or the ``problem`` why there is none.

    Attributes:
        clip_id: As in the order.
        problem: For a person; empty when there is a clip.
        codec: FFmpeg's name of the codec.
        begins_mono_s: When its first packet arrived, on the monotonic clock.
        duration_s: From its first picture to its last.
    """

    clip_id: int
    problem: str = ""
    codec: str = ""
    begins_mono_s: float = 0.0
    duration_s: float = 0.0
    kind: Literal["clip"] = "clip"


@dataclass(frozen=True, slots=True)
class Beat:
    """News, every second: the process lives.

    Attributes:
        silent_s: Cameras whose thread has shown no sign of life for seconds, and for how many.
        measured: What changed since the last beat: name of the metric, its labels, and for a
            counter by how much, for a gauge its value.
        overdue_s: Of the threads whose cameras were taken from the process, the one that should
            have ended first: for how long it has been silent beyond its camera's time-outs.
    """

    silent_s: dict[CameraId, float]
    measured: list[tuple[str, tuple[str, ...], float]]
    overdue_s: float = 0.0
    kind: Literal["beat"] = "beat"


Order = Watch | Forget | Retime | Visit | LearnAnew | CutClip | LogAs
News = Taken | Unusable | Health | Learnt | Finished | Clip | Beat
_MESSAGES: TypeAdapter[Order | News] = TypeAdapter(Order | News)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends; each sends and receives."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return ends


def send(end: socket.socket, message: Order | News, memory: memoryview | None = None) -> None:
    """Send ``message``, and the bytes of ``memory`` beside it.

    Raises:
        OSError: The other end is closed; ``BlockingIOError`` when it does not read.
    """
    body = _MESSAGES.dump_json(message)
    if memory is None and len(body) > _IN_DATAGRAM_BYTES:
        _send_beside(end, b"", memoryview(body))
    elif memory is None:
        end.send(body)
    else:
        _send_beside(end, body, memory)


def receive(end: socket.socket) -> tuple[Order | News, mmap.mmap | None] | None:
    """Return the next message with the memory that came beside it; ``None`` at the end.

    Raises:
        OSError: There is nothing to read on a socket that does not block.
    """
    body, ancillary, _, _ = end.recvmsg(
        2 * _IN_DATAGRAM_BYTES, socket.CMSG_SPACE(_DESCRIPTOR), socket.MSG_CMSG_CLOEXEC
    )
    memory = _memory_of(ancillary)
    if not body and memory is None:
        return None
    if body == _BESIDE and memory is not None:
        with memory:
            return _MESSAGES.validate_json(memory[:]), None
    return _MESSAGES.validate_json(body), memory


def _send_beside(end: socket.socket, body: bytes, memory: memoryview) -> None:
    descriptor = os.memfd_create("lsm-capture", os.MFD_CLOEXEC)
    try:
        left = memory.cast("B")
        while left:
            left = left[os.write(descriptor, left) :]
        socket.send_fds(end, [body or _BESIDE], [descriptor])
    finally:
        os.close(descriptor)


def _memory_of(ancillary: list[tuple[int, int, bytes]]) -> mmap.mmap | None:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            (descriptor,) = array.array("i", data[:_DESCRIPTOR])
            try:
                # Private and writable: NumPy and torch mistrust memory they may not write.
                return mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
            finally:
                os.close(descriptor)
    return None
