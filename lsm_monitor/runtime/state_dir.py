"""The folder with what survives a restart, and the promise that one daemon owns it.

Two daemons on one outbox would send every event twice, and each would close the other's
episodes. A lock of the kernel's, and not a file with a process id, because it is gone the
moment its owner is, however it died.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lsm_monitor.errors import StoreError


def resolve(configured: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the state folder: what was configured, or what fits the user and systemd."""
    if configured is not None:
        return configured
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].split(":")[0])  # systemd may list several
    if os.geteuid() == 0:
        return Path("/var/lib/lsm-monitor")
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "lsm-monitor"


def _open_lock(path: Path) -> int:
    """Open the lock; in a folder that has become read-only, the one that is there.

    A folder that never worked is a mistake of the installation and an error. One that did is
    a fault of the disk, and alerts must go out all the same.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError:
        if path.exists():
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Make the folder ``path`` and own it until the context ends.

    Raises:
        StoreError: It cannot be made or written, or another daemon owns it.
    """
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = _open_lock(path / "lock")
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        why = exc.strerror if isinstance(exc, OSError) else exc
        msg = (
            f"{path}: cannot use the state folder ({why}); make it writable for the "
            "daemon's user, or set 'state_dir' in the configuration"
        )
        raise StoreError(msg) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = (
                f"{path}: another lsm-monitor uses this state folder; stop it, or give this "
                "one its own 'state_dir'"
            )
            raise StoreError(msg) from None
        yield path
    finally:
        os.close(descriptor)
