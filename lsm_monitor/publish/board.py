"""The newest retained message of every topic, and which of them the broker has not seen.

A policy, not a queue: of each topic only the newest message matters, so a broker that is
away for a week costs no more memory than one that is away for a second.
"""

from __future__ import annotations

import threading

from lsm_monitor.types import OutboundMessage


class RetainedBoard:
    """Newest wins, per topic. Thread-safe; grows with the number of topics only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[str, OutboundMessage] = {}
        self._changed: dict[str, None] = {}  # a set that keeps its order

    def put(self, message: OutboundMessage) -> None:
        """Replace the topic's message; it is new to the broker if it differs.

        Raises:
            ValueError: The message is not to be retained, so repeating it would be wrong.
        """
        if not message.retain:
            msg = f"message on {message.topic} is not retained; it cannot be repeated"
            raise ValueError(msg)
        with self._lock:
            if self._messages.get(message.topic) != message:
                self._messages[message.topic] = message
                self._changed[message.topic] = None

    def take_changed(self, limit: int) -> list[OutboundMessage]:
        """Return up to ``limit`` messages new to the broker, oldest first."""
        with self._lock:
            topics = list(self._changed)[:limit]
            for topic in topics:
                del self._changed[topic]
            return [self._messages[topic] for topic in topics]

    def mark_all_changed(self) -> None:
        """Have everything sent again, in the order in which the topics first came."""
        with self._lock:
            self._changed = dict.fromkeys(self._messages)
