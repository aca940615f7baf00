"""The outbox's file while there is one: opened, lost, and opened again.

Whether events reach the disk is said once when it changes, and always in the metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from lsm_monitor.errors import StoreError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.outbox_file import DamagedStoreError, OutboxFile
from lsm_monitor.publish.outbox_open import NewerStoreError

logger = logging.getLogger(__name__)
T = TypeVar("T")

_TRY_EVERY = timedelta(seconds=10)


class Shelf:
    """A file that may refuse. Not thread-safe.

    Attributes:
        is_durable: Whether it took what it was given last.
        file: ``None`` while it cannot even be read.
    """

    def __init__(self, path: Path, *, now: datetime, metrics: Metrics) -> None:
        self.is_durable = True
        self.file: OutboxFile | None = None
        self._path = path
        self._metrics = metrics
        self._tried_at = now

    def open(self, now: datetime, *, may_be_newer: bool = True) -> bool:
        """Open the file, or open it anew; return whether it can be read, at least.

        Raises:
            NewerStoreError: The file is of a later version, and that may not be.
        """
        try:
            file = OutboxFile.open(self._path, now=now)
        except StoreError as exc:
            if isinstance(exc, NewerStoreError) and not may_be_newer:
                raise
            self._refused(exc)
            return False
        self.close()
        self.file = file
        if file.read_only is not None:
            self._refused(file.read_only)
        return True

    def try_again(self, now: datetime) -> bool:
        """Do from time to time what may help a file that refuses; return if it was opened."""
        # Absolute: the wall clock may be set back.
        if self.is_durable or abs(now - self._tried_at) < _TRY_EVERY:
            return False
        self._tried_at = now
        if self.file is None or self.file.read_only:
            return self.open(now)
        self.do(OutboxFile.shrink_log)
        return False

    def do(self, action: Callable[[OutboxFile], T]) -> T | None:
        """Return what ``action`` does with the file; ``None`` if it refuses or is not there."""
        if self.file is None:
            return None
        try:
            return action(self.file)
        except DamagedStoreError as exc:
            self._refused(exc)
            self.close()  # until it is opened again, and set aside by that
        except StoreError as exc:
            self._refused(exc)
        return None

    def accepted(self) -> None:
        """Note that everything is on disk."""
        if not self.is_durable:
            logger.warning("events are durable again")
        self.is_durable = True
        self._metrics.outbox_durable.set(1)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self.file is not None:
            self.file.close()
        self.file = None

    def _refused(self, exc: StoreError) -> None:
        if self.is_durable:  # once per fault, not once per event
            logger.error("events are not durable, but go out from memory: %s", exc)
        self.is_durable = False
        self._metrics.outbox_durable.set(0)
