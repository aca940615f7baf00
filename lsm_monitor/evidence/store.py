"""Evidence on disk: one folder per episode, one sidecar per event that says what is whole.

``<event_id>/<seq>.json`` is written last and names every file with its size and SHA-256, so a
crash at any moment leaves files that nobody names: they do not count, and are removed at the
next start. Where a sidecar is there and cannot be read, nothing of its event is removed: it may
name them all. A file appears under its name only when all of it is on the disk.

One thread writes; ``listing`` and ``path_of`` may be called by any.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from lsm_monitor.errors import StoreError
from lsm_monitor.evidence import sidecar as sidecars
from lsm_monitor.evidence.leftovers import is_ours, leftovers, part_name
from lsm_monitor.evidence.retention import KeptEpisode
from lsm_monitor.evidence.sidecar import EvidenceFile, EvidenceKind, Json, file_name

FOLDER: Final = "evidence"
_GONE: Final = ".gone-"


class EvidenceStore:
    """The evidence of all episodes.

    Args:
        state_dir: The daemon's state folder.
        reserve_bytes: Free space that is left to others on the disk: to the outbox.
    """

    def __init__(self, state_dir: Path, *, reserve_bytes: int = 0) -> None:
        self._folder = state_dir / FOLDER
        self._reserve_bytes = reserve_bytes
        self._kept: dict[UUID, KeptEpisode] = {}

    @property
    def size_bytes(self) -> int:
        """What all evidence takes, as far as :meth:`open` and later writes have seen."""
        return sum(episode.size_bytes for episode in self._kept.values())

    @property
    def episodes(self) -> list[KeptEpisode]:
        """All episodes of which there is evidence."""
        return list(self._kept.values())

    def open(self) -> None:
        """Make the folder, remove what a crash has left behind, and count what is there.

        Raises:
            StoreError: The disk refuses. What it refused is told once all the rest was done;
                all that can be counted is.
        """
        refused: list[StoreError] = []
        with _translated(self._folder):
            self._folder.mkdir(mode=0o750, exist_ok=True)
            for path in list(self._folder.iterdir()):
                with _collected(refused), _translated(path):
                    self._open_episode(path)
        if refused:
            raise refused[0]

    def _open_episode(self, path: Path) -> None:
        if path.is_symlink() or not path.is_dir():
            return
        if path.name.startswith(_GONE):
            shutil.rmtree(path)
        elif event_id := _event_id(path.name):
            self._tidy(event_id)

    def put(
        self, event_id: UUID, seq: int, files: Mapping[EvidenceKind, bytes], about: Json
    ) -> None:
        """Store the evidence of one event; all of it, or nothing.

        Args:
            event_id: The episode's.
            seq: The event's.
            files: Their contents.
            about: Goes into the sidecar; its ``missing`` says per kind why something is not
                among the files.

        Raises:
            StoreError: The disk refuses, or has no room.
        """
        folder = self._folder / str(event_id)
        names = {kind: file_name(seq, kind) for kind in (*files, EvidenceKind.SIDECAR)}
        self._check_room(sum(map(len, files.values())))
        with _translated(folder):
            folder.mkdir(mode=0o750, exist_ok=True)
            try:
                # An event of this number that was never sent: a crash came in between.
                for kind in reversed(EvidenceKind):
                    (folder / file_name(seq, kind)).unlink(missing_ok=True)
                for kind, data in files.items():
                    _write(folder / names[kind], data)
                entries = [sidecars.described(seq, *file) for file in files.items()]
                sidecar = {"schema": sidecars.SCHEMA, **about, "files": entries}
                _write(folder / names[EvidenceKind.SIDECAR], sidecars.encoded(sidecar))
                _sync_folder(folder)
            except OSError:
                for name in names.values():
                    (folder / name).unlink(missing_ok=True)
                raise
            finally:
                self._count(event_id)

    def add(
        self, event_id: UUID, seq: int, kind: EvidenceKind, data: bytes, about: Json
    ) -> bool:
        """Add a file that came later; return whether its event is stored.

        Raises:
            StoreError: The disk refuses, or has no room.
        """
        folder = self._folder / str(event_id)
        path, sidecar_path = folder / file_name(seq, kind), self._sidecar_path(event_id, seq)
        with _translated(folder):
            if not sidecar_path.exists():
                return False
            self._check_room(len(data))
            entry = sidecars.described(seq, kind, data) | about
            sidecar = sidecars.with_file(sidecars.read(sidecar_path), entry)
            try:
                _write(path, data)
                _write(sidecar_path, sidecars.encoded(sidecar))
                _sync_folder(folder)
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                self._count(event_id)
        return True

    def note_missing(self, event_id: UUID, seq: int, kind: EvidenceKind, reason: str) -> None:
        """Say in the sidecar, if it is there, why something that was awaited will not come.

        Raises:
            StoreError: The disk refuses.
        """
        path = self._sidecar_path(event_id, seq)
        with _translated(path):
            if not path.exists():
                return
            sidecar = sidecars.without_file(sidecars.read(path), kind, reason)
            _write(path, sidecars.encoded(sidecar))
            self._count(event_id)

    def listing(self, event_id: UUID) -> list[EvidenceFile]:
        """Return the files of an episode that are whole, by ``seq``; none when it has none.

        What the disk refuses to show, or what was damaged, is left out.
        """
        found: list[EvidenceFile] = []
        folder = self._folder / str(event_id)
        with contextlib.suppress(OSError):
            for path in folder.glob("*.json"):
                found += sidecars.files_of(path)
        return sorted(found, key=lambda file: (file.seq, list(EvidenceKind).index(file.kind)))

    def path_of(self, event_id: UUID, name: str) -> Path | None:
        """Return where a file of an episode lies; ``None`` when there is no such file.

        Any ``name`` may be asked for: nothing outside the episode's folder is ever returned.
        """
        if not sidecars.is_file_name(name):
            return None
        path = self._folder / str(event_id) / name
        is_there = path.is_file() and not path.is_symlink()
        return path if is_there and not path.parent.is_symlink() else None

    def remove(self, event_id: UUID) -> None:
        """Remove all evidence of an episode; a crash meanwhile leaves nothing that counts.

        Raises:
            StoreError: The disk refuses.
        """
        folder = self._folder / str(event_id)
        gone = self._folder / f"{_GONE}{event_id}"
        with _translated(folder):
            if gone.exists():  # a removal that failed half-way
                shutil.rmtree(gone)
            if folder.exists():  # else somebody else has removed it
                folder.rename(gone)
            self._kept.pop(event_id, None)
            if gone.exists():
                shutil.rmtree(gone)

    def _sidecar_path(self, event_id: UUID, seq: int) -> Path:
        return self._folder / str(event_id) / file_name(seq, EvidenceKind.SIDECAR)

    def _check_room(self, needed_bytes: int) -> None:
        with _translated(self._folder):
            self._folder.mkdir(mode=0o750, exist_ok=True)
            free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes < needed_bytes + self._reserve_bytes:
            reserve_mb = self._reserve_bytes // 2**20
            msg = (
                f"{self._folder}: the disk is full ({reserve_mb} MB are left to the outbox); "
                "make room, or lower evidence.max_mb"
            )
            raise StoreError(msg)

    def _tidy(self, event_id: UUID) -> None:
        """Remove the files of an episode that no sidecar can name, and count the others.

        Raises:
            StoreError: Some cannot be removed: they are counted, too.
        """
        folder = self._folder / str(event_id)
        entries = list(os.scandir(folder))
        names = {entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)}
        refused: list[StoreError] = []
        for name in sorted(leftovers(folder, names)):
            with _collected(refused), _translated(folder / name):
                (folder / name).unlink(missing_ok=True)
                names.discard(name)
        if any(map(is_ours, names)):
            self._count(event_id)
        else:
            with contextlib.suppress(OSError):  # somebody has put something of their own there
                folder.rmdir()
        if refused:
            raise refused[0]

    def _count(self, event_id: UUID) -> None:
        """Note what an episode takes now."""
        folder = self._folder / str(event_id)
        with contextlib.suppress(OSError):
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in os.scandir(folder)]
            newest_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
            self._kept[event_id] = KeptEpisode(event_id, sum(sizes), newest_at)


def _write(path: Path, data: bytes) -> None:
    """Make ``path`` hold ``data``; it holds all of it, or what it held before.

    Raises:
        OSError: The disk refuses.
    """
    part = path.with_name(part_name(path.name))
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _event_id(name: str) -> UUID | None:
    with contextlib.suppress(ValueError):
        event_id = UUID(name)
        return event_id if str(event_id) == name else None
    return None


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Tell what the disk refuses in our words."""
    try:
        yield
    except OSError as exc:
        msg = f"{path}: cannot be used ({exc.strerror}); make room, or make it writable"
        raise StoreError(msg) from None
    except (ValueError, KeyError, TypeError):
        msg = f"{path}: damaged; it was not written by this daemon"
        raise StoreError(msg) from None


@contextlib.contextmanager
def _collected(refused: list[StoreError]) -> Iterator[None]:
    """Go on after what the disk refuses, and add it to ``refused``."""
    try:
        yield
    except StoreError as exc:
        refused.append(exc)
