"""Messages that are sent once and then forgotten: answers to commands, pictures.

They need not survive a restart, and an outage must not fill our memory with them: bounded in
number and in bytes, the oldest is dropped first and counted.

A retained one stays at the broker only where retained topics are watched: nobody would remove
the picture of a camera that is switched off.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import replace

from lsm_monitor.metrics import Metrics
from lsm_monitor.types import OutboundMessage

_CAPACITY = 1000
_CAPACITY_BYTES = 8 * 1024 * 1024


class Notices:
    """The queue ``notices``. Thread-safe."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._messages: deque[OutboundMessage] = deque()
        self._bytes = 0
        self._kept_on: frozenset[str] | None = None
        metrics.queue_depth.labels("notices").set_function(lambda: len(self._messages))

    def put(self, message: OutboundMessage) -> None:
        """Add ``message``; what no longer fits goes, oldest first."""
        with self._lock:
            self._messages.append(message)
            self._bytes += len(message.payload)
            while len(self._messages) > _CAPACITY or self._bytes > _CAPACITY_BYTES:
                self._bytes -= len(self._messages.popleft().payload)
                self._metrics.notices_dropped.inc()

    def keep_on(self, topics: Collection[str]) -> None:
        """Let the broker keep only what goes to ``topics``; before the first call, all."""
        self._kept_on = frozenset(topics)

    def take(self, limit: int) -> list[OutboundMessage]:
        """Return up to ``limit`` messages, oldest first."""
        with self._lock:
            taken = [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]
            self._bytes -= sum(len(message.payload) for message in taken)
        return [self._passing(message) for message in taken]

    def _passing(self, message: OutboundMessage) -> OutboundMessage:
        """Return ``message``, not to be kept where nobody would remove it."""
        kept_on = self._kept_on
        stays = message.retain and (kept_on is None or message.topic in kept_on)
        return replace(message, retain=stays)
