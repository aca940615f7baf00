"""Notes of what is being tried: a backend that kills the process is not tried for ever.

Too little memory or a fault in a library ends the process without an exception; systemd starts
it again, and it would die in the same place. Whoever finds a note knows that its writer died.
"""

from __future__ import annotations

import logging
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
        note = self._note(name)
        if note is None or _deaths(note) < MAX_DEATHS:
            return None
        return (
            f"the process died {MAX_DEATHS} times while trying it; delete {note} to try again"
        )

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Leave a note behind if, and only if, the process dies inside the block."""
        note = self._note(name)
        if note is None:
            yield
            return
        deaths = _deaths(note)
        try:
            note.write_text(f"{deaths + 1}\n")
        except OSError as exc:
            logger.info("%s: cannot be written (%s)", note, exc.strerror)
        try:
            yield
        finally:
            _remove(note)

    def _note(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"trying-{name}"


def _deaths(note: Path) -> int:
    try:
        return int(note.read_text())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):  # ValueError: died while writing it
        return 1


def _remove(note: Path) -> None:
    try:
        note.unlink(missing_ok=True)
    except OSError as exc:
        logger.warning("%s: cannot be removed (%s); delete it", note, exc.strerror)
