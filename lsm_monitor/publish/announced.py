"""Which retained topics we have announced, so that none outlives its camera or zone.

A broker keeps a retained message for ever: a camera that is taken out of the configuration
would be ``dry`` for all time. What was announced is remembered in a file and not asked of
the broker: a broker may let us write where it does not let us read, and what others publish
beside us is not ours to remove.

The file has what *may* have been published, written before it is: a removal too many does no
harm. Only when the broker has the removal, the topic is struck out.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from lsm_monitor import json_file
from lsm_monitor.errors import StoreError

logger = logging.getLogger(__name__)

_VERSION = 1
# What is not a topic of ours cannot be removed: publishing on it would raise.
_TOPIC = re.compile(r"[A-Za-z0-9_/-]+")


class AnnouncedTopics:
    """The list in one file; see :meth:`open`. Thread-safe; waits for the disk."""

    def __init__(self, path: Path, topics: frozenset[str]) -> None:
        self._path = path
        self._topics = topics
        self._current: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._is_stored = True

    @classmethod
    def open(cls, path: Path, *, now: datetime) -> AnnouncedTopics:
        """Read the list; a missing file is an empty one, a damaged one is set aside.

        Raises:
            StoreError: The file cannot be read.
        """
        content = json_file.read(path, now=now)
        if content is None:
            return cls(path, frozenset())
        match content:
            case {"version": 1, "topics": list(topics)} if all(
                isinstance(topic, str) and _TOPIC.fullmatch(topic) for topic in topics
            ):
                return cls(path, frozenset(topics))
            case _:
                json_file.set_aside(path, now=now, why="not a list of topics")
                return cls(path, frozenset())

    @property
    def topics(self) -> frozenset[str]:
        """Everything the broker may have of us."""
        return self._topics

    def replace(self, current: Collection[str]) -> frozenset[str]:
        """Remember ``current`` too, and return what the broker has to forget."""
        with self._lock:
            self._current = frozenset(current)
            self._store(self._topics | self._current)
            return self._topics - self._current

    def strike(self, removed: Collection[str]) -> None:
        """Forget topics that the broker has forgotten, but for those that came back since."""
        with self._lock:
            self._store(self._topics - (frozenset(removed) - self._current))

    def _store(self, topics: frozenset[str]) -> None:
        if topics == self._topics and self._is_stored:
            return
        self._topics = topics
        try:
            json_file.write(self._path, {"version": _VERSION, "topics": sorted(topics)})
            self._is_stored = True
        except StoreError as exc:
            # A full disk must not keep the daemon from publishing.
            self._is_stored = False
            logger.warning("%s; what is removed now may stay at the broker", exc)
