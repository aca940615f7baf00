"""A one-place mailbox between a camera thread and the inference thread.

A live monitor must show the present, so a full queue is worse than a lost frame: the newest
frame replaces the one nobody has taken. ``put`` says when that happened, and the caller
counts it. Taking never waits: one thread looks after many mailboxes, and ``on_put`` wakes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestMailbox(Generic[T]):
    """Holds at most one item; putting replaces.

    Args:
        on_put: Called after each ``put``, outside the lock, by the thread that puts.
    """

    def __init__(self, on_put: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._item: T | None = None
        self._on_put = on_put

    def put(self, item: T) -> bool:
        """Offer ``item``; never blocks. Return whether an item was lost that nobody took."""
        with self._lock:
            replaced = self._item is not None
            self._item = item
        if self._on_put is not None:
            self._on_put()
        return replaced

    def take_nowait(self) -> T | None:
        """Return the newest item, or ``None`` when nothing came since the last call."""
        with self._lock:
            item, self._item = self._item, None
            return item
