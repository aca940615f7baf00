"""Notes of what is being tried: a backend that kills the process is not tried for ever.

Too little memory or a fault in a library ends the process without an exception; systemd starts
it again, and it would die in the same place. A note that nobody holds locked has a dead writer.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

MAX_DEATHS = 3
"""An impatient operator may kill a slow build once or twice."""


class Attempts:
    """The notes in a folder. Without one, or where nothing can be written, there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find_fault(self, name: str) -> str | None:
        """Say why ``name`` must not be tried again; ``None`` when it may."""
        with self._locked(name, os.O_RDWR) as note:
            if note is None or _deaths(note) < MAX_DEATHS:
                return None
        return (
            f"the process died {MAX_DEATHS} times while trying it; delete {self._folder} to "
            "try again"
        )

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Leave a note behind if, and only if, the process dies inside the block."""
        with self._locked(name, os.O_RDWR | os.O_CREAT) as note:
            if note is None:
                yield
                return
            try:
                os.pwrite(note, b"%d" % (_deaths(note) + 1), 0)
                yield
            finally:
                self._remove(name)

    @contextmanager
    def _locked(self, name: str, flags: int) -> Iterator[int | None]:
        """Open a note; ``None`` where there is none, or another process is trying it."""
        if self._folder is None:
            yield None
            return
        note = -1
        try:
            note = os.open(self._note(self._folder, name), flags | os.O_CLOEXEC, 0o660)
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            logger.debug("%s: no note of trying %s: %s", self._folder, name, exc.strerror)
            if note >= 0:
                os.close(note)
            yield None
            return
        try:
            yield note
        finally:
            os.close(note)

    def _remove(self, name: str) -> None:
        assert self._folder is not None  # noqa: S101 - there is a note
        note = self._note(self._folder, name)
        try:
            note.unlink(missing_ok=True)
        except OSError as exc:
            logger.warning("%s: cannot be removed (%s); delete it", note, exc.strerror)

    @staticmethod
    def _note(folder: Path, name: str) -> Path:
        return folder / f"trying-{name}"


def _deaths(note: int) -> int:
    text = os.pread(note, 8, 0)
    try:
        return int(text)
    except ValueError:  # new, or its writer died before it could count
        return 0
