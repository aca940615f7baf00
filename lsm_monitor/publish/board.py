"""The newest retained message of every topic, and which of them the broker has not seen.

A policy, not a queue: of each topic only the newest message matters, so a broker that is
away for a week costs no more memory than one that is away for a second.

An empty retained payload is a removal: it stays until the broker has it, and is then
forgotten. What is removed stays removed, whoever still has something to say about it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from lsm_monitor.types import OutboundMessage


class RetainedBoard:
    """Newest wins, per topic. Thread-safe; grows with the number of topics only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[str, OutboundMessage] = {}
        self._changed: dict[str, None] = {}  # a set that keeps its order
        self._removed: frozenset[str] = frozenset()

    def put(self, message: OutboundMessage) -> None:
        """Replace the topic's message; it is new to the broker if it differs.

        Raises:
            ValueError: The message is not to be retained, so repeating it would be wrong.
        """
        if not message.retain:
            msg = f"message on {message.topic} is not retained; it cannot be repeated"
            raise ValueError(msg)
        with self._lock:
            if message.topic not in self._removed:
                self._put(message)

    def remove(self, topics: Collection[str]) -> None:
        """Have the broker forget ``topics``, and allow all others, removed before or not."""
        with self._lock:
            self._removed = frozenset(topics)
            for topic in topics:
                self._put(OutboundMessage(topic, b"", qos=1, retain=True))

    def forget(self, message: OutboundMessage) -> None:
        """Do not send ``message`` again; a newer one on its topic stays."""
        with self._lock:
            if self._messages.get(message.topic) == message:
                del self._messages[message.topic]
                self._changed.pop(message.topic, None)

    def changed(self) -> int:
        """Return how many messages are new to the broker."""
        return len(self._changed)

    def take_changed(self, limit: int) -> list[OutboundMessage]:
        """Return up to ``limit`` messages new to the broker, oldest first."""
        with self._lock:
            topics = list(self._changed)[:limit]
            for topic in topics:
                del self._changed[topic]
            return [self._messages[topic] for topic in topics]

    def mark_all_changed(self, prefix: str = "") -> None:
        """Have everything below ``prefix`` sent again, in the order in which it first came."""
        with self._lock:
            again = dict.fromkeys(topic for topic in self._messages if topic.startswith(prefix))
            self._changed = again | self._changed if prefix else again

    def _put(self, message: OutboundMessage) -> None:
        if self._messages.get(message.topic) != message:
            self._messages[message.topic] = message
            self._changed[message.topic] = None
