"""Parts of a multipart/x-mixed-replace body, as cameras really send it (motion JPEG).

Cameras disagree on whether the boundary in the header has its dashes, on line ends, and on
whether a part says how long it is. So a part begins after a line that starts with two dashes
and ends where it says, or else where that very line comes again: two dashes alone come by
chance in every few hundred pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

_MAX_LINE_BYTES = 1024
_MAX_HEADER_LINES = 32
_PIECE_BYTES = 65536


class MultipartError(ValueError):
    """The body is not what its content type says; the text has no data of the peer in it."""


class MultipartReader:
    """Splits a body that never ends into its parts.

    Args:
        read: Returns up to that many bytes; empty at the end.
        max_part_bytes: A larger part is an error.
    """

    def __init__(self, read: Callable[[int], bytes], *, max_part_bytes: int) -> None:
        self._read = read
        self._max_part_bytes = max_part_bytes
        self._buffer = bytearray()
        self._boundary = b"--"

    def parts(self) -> Iterator[bytes]:
        """Yield each part's content; ends with the body.

        Raises:
            MultipartError: A part is too large, or its header does not end.
        """
        while self._skip_to_boundary():
            length = self._content_length()
            part = self._up_to_boundary() if length is None else self._exactly(length)
            if part is None:
                return
            yield part

    def _fill(self) -> bool:
        piece = self._read(_PIECE_BYTES)
        self._buffer += piece
        return bool(piece)

    def _line(self) -> bytes | None:
        """Return the next line without its end; ``None`` at the end of the body."""
        while (end := self._buffer.find(b"\n", 0, _MAX_LINE_BYTES)) < 0:
            if len(self._buffer) >= _MAX_LINE_BYTES:
                msg = "a header line does not end"
                raise MultipartError(msg)
            if not self._fill():
                return None
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _skip_to_boundary(self) -> bool:
        for _ in range(_MAX_HEADER_LINES):
            line = self._line()
            if line is None:
                return False
            if line.startswith(b"--"):
                self._boundary = line.rstrip()
                return True
        msg = "no part begins where one should"
        raise MultipartError(msg)

    def _content_length(self) -> int | None:
        length = None
        for _ in range(_MAX_HEADER_LINES):
            line = self._line()
            if not line:
                return length
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                # Digits without end are no number to anyone.
                length = int(value.strip()[:12])
        msg = "a part's header does not end"
        raise MultipartError(msg)

    def _exactly(self, length: int) -> bytes | None:
        self._check_size(length)
        while len(self._buffer) < length:
            if not self._fill():
                return None
        part = bytes(self._buffer[:length])
        del self._buffer[:length]
        return part

    def _up_to_boundary(self) -> bytes | None:
        searched, wanted = 0, b"\n" + self._boundary
        while (end := self._buffer.find(wanted, searched)) < 0:
            searched = max(0, len(self._buffer) - len(wanted) + 1)
            self._check_size(len(self._buffer))
            if not self._fill():
                return None
        part = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return part

    def _check_size(self, size: int) -> None:
        if size > self._max_part_bytes:
            msg = f"a picture is larger than {self._max_part_bytes >> 20} MB"
            raise MultipartError(msg)
