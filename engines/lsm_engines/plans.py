"""Plans: files that a backend builds once for a machine and loads at every start.

Each plan has a folder of its own, ``GRAPH-BACKEND-DIGEST``, with the file ``plan`` and its
manifest; the digest tells which plan is meant. What else the key names - driver, versions - is
where the plan runs: when that differs the plan is *foreign* and built anew in place, so a
machine that is updated every month does not collect plans. Plans of models that are no longer
used stay; the whole folder may be deleted at any time.

A plan is built in the folder ``building`` under a lock and moved from there, the manifest
last: a process that dies leaves nothing that is ever loaded, and the next builder removes it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lsm_engines.api import EngineError, PlanError
from lsm_engines.manifest import ABSENT, MANIFEST_FILE, PLAN_FILE, find_fault, manifest_text
from lsm_engines.plan_key import PlanKey

__all__ = ["PlanKey", "PlanStore", "default_plans_folder"]

logger = logging.getLogger(__name__)

_BUILDING = "building"
_LOCK_FILE = "lock"
_LOCK_POLL_S = 0.1
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMEDY = "set XDG_CACHE_HOME, or CacheDirectory= in the systemd unit, to a folder"


class PlanStore:
    """A folder of plans. Several processes may use it at once.

    Where nothing can be written, plans are kept in a temporary folder while the store lives,
    and a warning says so. Nothing is read or written before the first :meth:`obtain`.

    Args:
        folder: Where plans are kept; ``None`` for :func:`default_plans_folder`.
        on_progress: Told in a line what is being waited for: at once, then every
            ``progress_every_s`` until it is over, from another thread.
        progress_every_s: See ``on_progress``.
        lock_timeout_s: How long to wait for another process that builds the same plan.
    """

    def __init__(
        self,
        folder: Path | None = None,
        on_progress: Callable[[str], None] = lambda _: None,
        *,
        progress_every_s: float = 5.0,
        lock_timeout_s: float = 1800.0,
    ) -> None:
        folder = folder or default_plans_folder()
        # Plans are looked for in all, and written to the last.
        self._roots = [] if folder is None else [folder]
        self._on_progress = on_progress
        self._progress_every_s = progress_every_s
        self._lock_timeout_s = lock_timeout_s

    def obtain(self, key: PlanKey, build: Callable[[Path], None]) -> Path:
        """Return the file of a plan, building it when it is absent, foreign or damaged.

        Args:
            key: Which plan.
            build: Writes the plan to the path it is given: one file, nothing beside it.

        Returns:
            The verified file. It is to be opened now: another installation that shares the
            folder may build the plan anew, for itself.

        Raises:
            PlanError: The plan could not be built or stored: the disk is full, another
                process builds it for too long.
            EngineError: The backend wrote something else than one file. Whatever else
                ``build`` raises comes through.
        """
        fault: str | None = ABSENT
        for root in self._roots:
            fault = find_fault(root / key.name, key.made_for)
            if fault is None:
                return root / key.name / PLAN_FILE
        folder, lock = self._open_writable(key, fault)
        try:
            self._lock(lock, folder, key)
            fault = find_fault(folder, key.made_for)
            if fault is not None:  # else another process has built it meanwhile
                level = logging.INFO if fault == ABSENT else logging.WARNING
                logger.log(level, "plan %s %s: it is built anew in %s", key.name, fault, folder)
                self._build(folder, key, build)
        finally:
            os.close(lock)
        return folder / PLAN_FILE

    def _open_writable(self, key: PlanKey, fault: str | None) -> tuple[Path, int]:
        """Return the folder that the plan is to be written to, and its open lock file."""
        why = "there is no home folder"
        if self._roots:
            folder = self._roots[-1] / key.name
            try:
                return folder, _open_lock(folder)
            except OSError as exc:
                if exc.errno in _NO_ROOM:
                    raise _storing_failed(folder, exc, written_bytes=0) from exc
                why = f"{self._roots[-1]} cannot be written ({exc.strerror})"
        try:
            root = Path(tempfile.mkdtemp(prefix="lsm-plans-"))
            weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
            self._roots.append(root)
            lock = _open_lock(root / key.name)
        except OSError as exc:
            msg = (
                f"plan {key.name} {fault}, {why}, and a temporary folder cannot be made "
                f"({exc.strerror}); {_REMEDY} that can be written"
            )
            raise PlanError(msg) from exc
        logger.warning(
            "plan %s %s, and %s: it is kept in %s until this process ends; to keep it, %s that "
            "can be written",
            key.name,
            fault,
            why,
            root,
            _REMEDY,
        )
        return root / key.name, lock

    def _lock(self, lock: int, folder: Path, key: PlanKey) -> None:
        """Wait until no other process builds the plan."""
        try:
            if _try_lock(lock):
                return
        except OSError as exc:  # a network file system without locks
            raise _storing_failed(folder, exc, written_bytes=0) from exc
        waiting = f"another process builds plan {key.name}: waiting for it"
        logger.info("%s", waiting)
        give_up_s = time.monotonic() + self._lock_timeout_s
        pause = threading.Event()  # never set: a wait that Ctrl-C ends
        with self._progress(waiting):
            while not _try_lock(lock):
                if time.monotonic() > give_up_s:
                    msg = (
                        f"another process has been building plan {key.name} for "
                        f"{self._lock_timeout_s:.0f} s; wait until it is done, or end it"
                    )
                    raise PlanError(msg)
                pause.wait(_LOCK_POLL_S)

    def _build(self, folder: Path, key: PlanKey, build: Callable[[Path], None]) -> None:
        """Put a new plan into ``folder``, which is locked."""
        started_s = time.monotonic()
        building = folder / _BUILDING
        plan = building / PLAN_FILE
        _remove(building)  # left by a process that died
        try:
            building.mkdir()
            with self._progress(f"building plan {key.name}"):
                build(plan)
            _check_built(building)
            manifest = building / MANIFEST_FILE
            manifest.write_text(manifest_text(plan, key.made_for))
            for path in (plan, manifest):
                _sync(path)
            plan.replace(folder / PLAN_FILE)
            manifest.replace(folder / MANIFEST_FILE)
            _sync(folder)
        except OSError as exc:
            written_bytes = plan.stat().st_size if plan.is_file() else 0
            raise _storing_failed(folder, exc, written_bytes) from exc
        finally:
            _remove(building)
        logger.info("plan %s: built in %.0f s", key.name, time.monotonic() - started_s)

    @contextmanager
    def _progress(self, doing: str) -> Iterator[None]:
        """Tell what is being done until it is."""
        done = threading.Event()
        started_s = time.monotonic()

        def tell() -> None:
            while not done.wait(self._progress_every_s):
                self._on_progress(f"{doing}, {time.monotonic() - started_s:.0f} s")

        self._on_progress(doing)
        thread = threading.Thread(target=tell, name="plan-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def default_plans_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return where this user's plans belong; ``None`` for a user without a home."""
    cache = environ.get("CACHE_DIRECTORY", "").split(":")[0]  # systemd may list several
    if cache:
        return Path(cache) / "plans"
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # also empty; the standard says to ignore relative ones
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "lsm-monitor" / "plans"


def _open_lock(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_built(building: Path) -> None:
    written = sorted(path.name for path in building.iterdir())
    if written != [PLAN_FILE]:
        msg = f"a plan must be one file, {PLAN_FILE!r}; the backend wrote {written}"
        raise EngineError(msg)


def _storing_failed(folder: Path, exc: OSError, written_bytes: int) -> PlanError:
    text = f"{folder}: cannot build and store the plan ({exc.strerror or exc})"
    if exc.errno not in _NO_ROOM:  # also what a library says that cannot be loaded
        return PlanError(text)
    there = next(parent for parent in folder.parents if parent.exists())
    free_bytes = shutil.disk_usage(there).free
    return PlanError(
        f"{text}: it needs more than {written_bytes} bytes, {free_bytes} are free; make room "
        f"there, or {_REMEDY} with room"
    )


def _remove(building: Path) -> None:
    shutil.rmtree(building, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
