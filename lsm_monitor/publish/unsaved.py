"""The queue ``unsaved``: events that are not on disk, in order; normally empty.

It is bounded. When it is full it gives up what hurts least: an event that the broker has
already, else a sample, and only then the oldest alert.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from lsm_monitor.publish.outbox_rows import Entry, OutboxRow

MAX_UNSAVED = 10_000
"""Events held in memory while the disk refuses, about 40 MB of them."""


class Unsaved:
    """Entries that wait for the disk, and the source of message ids. Not thread-safe.

    Args:
        max_entries: See :data:`MAX_UNSAVED`.
    """

    def __init__(self, max_entries: int = MAX_UNSAVED) -> None:
        self._max_entries = max_entries
        self._entries: deque[Entry] = deque()
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._entries)

    def next_id(self, now: datetime) -> int:
        """Return an id above all others.

        It is the time in microseconds, so that ids of a run that could not read the file
        come after those that are in it.
        """
        self._last_id = max(self._last_id + 1, round(now.timestamp() * 1e6))
        return self._last_id

    def append(self, entry: Entry) -> None:
        """Put an entry behind all others."""
        self._entries.append(entry)

    def first(self) -> Entry:
        """Return the oldest entry; there must be one."""
        return self._entries[0]

    def drop_first(self) -> None:
        """Forget the oldest entry: it is on disk."""
        self._entries.popleft()

    def rows(self) -> list[OutboxRow]:
        """Return all messages in order."""
        return [row for entry in self._entries for row in entry.rows]

    def give_up_one(self, sent: Collection[int]) -> list[OutboxRow]:
        """Forget one event if there are too many, and return the messages it had.

        Args:
            sent: Ids of messages that the broker has.
        """
        if len(self._entries) <= self._max_entries:
            return []
        index = self._dearest_last(sent)
        rows = self._entries[index].rows
        del self._entries[index]
        return list(rows)

    def begin_after(self, last_id: int, now: datetime) -> None:
        """Let all ids come after ``last_id``, those of waiting messages included.

        An acknowledgement that is on its way for an old id is missed: sent twice, not lost.
        """
        self._last_id = max(self._last_id, last_id)
        if any(row.row_id <= last_id for row in self.rows()):
            for index, entry in enumerate(self._entries):
                rows = tuple(replace(row, row_id=self.next_id(now)) for row in entry.rows)
                self._entries[index] = replace(entry, rows=rows)

    def _dearest_last(self, sent: Collection[int]) -> int:
        samples = []
        for index, entry in enumerate(self._entries):
            if all(row.row_id in sent for row in entry.rows):
                return index
            if entry.is_sample:
                samples.append(index)
        return samples[0] if samples else 0
