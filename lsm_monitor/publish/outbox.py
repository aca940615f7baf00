"""Events until the broker has them: on disk, and in memory while the disk refuses.

paho keeps unacknowledged messages in memory, where a crash or a power cut loses them. Here
an event and the episode it belongs to become durable in one transaction before anybody
sends it; a message is deleted when the broker has acknowledged it. Sent twice is possible,
lost is not: subscribers tell a repeated event by ``event_id`` and ``seq``.

A disk that is full, read-only or damaged must not silence an alert. An event that cannot be
written stays in a bounded queue, ``unsaved``, and is sent from there under its id; all that
follow it take the same way, so the order holds. When the disk is back the queue moves onto it.

One lock serves the inference thread, which records, and the publisher's threads, which send.
Each method may wait for the disk: never call one on the event loop.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from lsm_monitor.errors import StoreError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.open_episodes import OpenEpisodes
from lsm_monitor.publish.outbox_file import OutboxFile
from lsm_monitor.publish.outbox_rows import Entry, OutboxRow, StoreLimits
from lsm_monitor.publish.outbox_shelf import Shelf
from lsm_monitor.publish.unsaved import Unsaved
from lsm_monitor.types import Acknowledgement, Episode, Feedback, OutboundMessage, WaterEvent

logger = logging.getLogger(__name__)

_FORGET_EVERY = timedelta(minutes=1)


class Outbox:
    """See :meth:`open`. Thread-safe."""

    def __init__(
        self, path: Path, *, now: datetime, limits: StoreLimits, metrics: Metrics
    ) -> None:
        self._path = path
        self._limits = limits
        self._metrics = metrics
        self._lock = threading.Lock()
        self._shelf = Shelf(path, now=now, metrics=metrics)
        self._open = OpenEpisodes()
        self._unsaved = Unsaved()
        # Messages that need not be sent any more, but are not yet deleted; with a reason
        # they become dead letters.
        self._done: dict[int, str | None] = {}
        self._now = self._forgot_at = now
        self._is_late = False
        self._is_closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        now: datetime,
        limits: StoreLimits | None = None,
        metrics: Metrics | None = None,
    ) -> Outbox:
        """Open the outbox, or make a new one.

        A damaged file is set aside and kept. With a file that cannot be used at all the
        outbox works in memory, says so, and tries again at every :meth:`settle`.

        Args:
            path: The file; its folder is made when it is missing.
            now: Timezone-aware UTC.
            limits: How much it may hold.
            metrics: Counts what is dropped, set aside, and not durable.

        Raises:
            NewerStoreError: The file is of a later version of this software.
        """
        outbox = cls(
            path, now=now, limits=limits or StoreLimits(), metrics=metrics or Metrics()
        )
        if outbox._shelf.open(now, may_be_newer=False):
            outbox._unsaved.begin_after(outbox._shelf.do(OutboxFile.last_id) or 0, now)
            outbox._adopt(outbox._shelf.do(OutboxFile.episodes) or [])
        outbox._is_late = not outbox.is_durable
        return outbox

    @property
    def is_durable(self) -> bool:
        """Whether what is recorded reaches the disk."""
        return self._shelf.is_durable

    def record(
        self, event: WaterEvent, messages: Sequence[OutboundMessage], *, now: datetime
    ) -> None:
        """Take charge of an event: on return it is on disk, or in memory if the disk refuses.

        The first of ``messages`` is the event itself; ``now`` is timezone-aware UTC.
        """
        with self._held():
            self._now = now
            messages = [*messages, *self._open.removals(event.episode.event_id, messages)]
            rows = tuple(OutboxRow(self._unsaved.next_id(now), m, now) for m in messages)
            self._unsaved.append(Entry(event, rows, now))
            self._open.take_in(event, messages)
            self._save()
            self._bound_memory()

    def settle(self, now: datetime, open_now: Iterable[Episode] = ()) -> list[Episode]:
        """Move what waits in memory to the disk, if it takes it again; forget what is old.

        Call it every second or so.

        Args:
            now: Timezone-aware UTC.
            open_now: Open episodes; their peaks rise without any event.

        Returns:
            Episodes found open in a file that could not be read at the start: nobody here
            knows them, so somebody should close them.
        """
        with self._held():
            self._now = now
            self._open.raise_peaks(open_now)
            if self._shelf.try_again(now):
                self._unsaved.begin_after(self._shelf.do(OutboxFile.last_id) or 0, now)
                self._is_late = True
            self._save()
            if not (self._shelf.is_durable or self._is_late or self._unsaved):
                self._shelf.do(self._prove)  # the next flood may be weeks away
            if abs(now - self._forgot_at) >= _FORGET_EVERY:
                self._forgot_at = now
                self._shelf.do(self._forget_old)
                self._save_peaks()
            return self._reconcile()

    def episodes(self) -> list[Episode]:
        """Return the open episodes."""
        with self._held():
            return [known.episode for known in self._open]

    def newest(self, event_id: UUID) -> bytes | None:
        """Return the newest event of an open episode as it was sent; ``None`` without one."""
        with self._held():
            return self._open.newest(event_id)

    def kept(self) -> list[OutboundMessage]:
        """Return the retained messages of open episodes that the broker once had.

        Those with newer ones on the way are left out: they would arrive late.
        """
        with self._held():
            waiting = self._shelf.do(OutboxFile.retained_topics) or set()
            waiting |= {row.message.topic for row in self._unsaved_rows()}
            return [m for m in self._open.retained() if m.topic not in waiting]

    def pending(self, limit: int, *, after_id: int = 0) -> list[OutboxRow]:
        """Return up to ``limit`` messages in the order they were recorded."""
        with self._held():
            rows = self._shelf.do(
                lambda file: file.pending(limit, after_id=after_id, without=self._done)
            )
            rows = rows or []
            rows += [row for row in self._unsaved_rows() if row.row_id > after_id]
            return rows[:limit]

    def delete(self, row_ids: Iterable[int]) -> None:
        """Forget messages that the broker has acknowledged."""
        with self._held():
            self._done.update(dict.fromkeys(row_ids))
            self._save()

    def set_aside(self, row_id: int, reason: str) -> None:
        """Make a dead letter of a message that the broker will not take.

        The messages behind it are free to go. ``lsm-monitor outbox dead`` shows it with the
        ``reason``, which is a few words for a person; ``retry`` sends it again.
        """
        with self._held():
            self._done[row_id] = reason
            self._metrics.outbox_dead.labels("refused").inc()
            logger.error("outbox: message %d is set aside: %s", row_id, reason)
            self._save()

    def add_feedback(self, feedback: Feedback) -> bool:
        """Store an operator's verdict; return whether its event is known.

        Raises:
            StoreError: The disk refuses; unlike an alert, a verdict can be given again.
        """
        with self._held():
            is_open = feedback.event_id in self._open
            file = self._file("give the verdict again later")
            return file.add_feedback(feedback, is_open=is_open)

    def acknowledge(self, acknowledgement: Acknowledgement) -> bool:
        """Store who has seen an episode first; return whether its event is known.

        Raises:
            StoreError: The disk refuses.
        """
        with self._held():
            is_open = acknowledgement.event_id in self._open
            file = self._file("acknowledge it again later")
            return file.acknowledge(acknowledgement, is_open=is_open)

    def count(self) -> int:
        """Return the number of waiting messages."""
        with self._held():
            unsaved = {row.row_id for row in self._unsaved.rows()}
            on_disk = self._shelf.do(OutboxFile.count) or 0
            done = self._done.keys()
            return max(0, on_disk - len(done - unsaved)) + len(unsaved - done)

    def oldest_at(self) -> datetime | None:
        """Return when the oldest waiting message was recorded, UTC; ``None`` without one."""
        rows = self.pending(1)
        return rows[0].recorded_at if rows else None

    def close(self) -> None:
        """Save what can be saved and close the file; the outbox cannot be used afterwards."""
        with self._lock:
            if self._is_closed:
                return
            self._save()
            self._save_peaks()
            if self._unsaved:
                logger.error("outbox: %d events never reached the disk", len(self._unsaved))
            self._is_closed = True
            self._shelf.close()

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                msg = f"outbox {self._path} is closed"
                raise StoreError(msg)
            yield

    # Everything below is called with the lock held.

    def _file(self, remedy: str) -> OutboxFile:
        if self._shelf.file is None:
            msg = f"outbox {self._path}: not available; {remedy}"
            raise StoreError(msg)
        return self._shelf.file

    def _unsaved_rows(self) -> list[OutboxRow]:
        return [row for row in self._unsaved.rows() if row.row_id not in self._done]

    def _save(self) -> None:
        """Write what waits in memory, oldest first, up to the first that the disk refuses."""
        if self._unsaved or self._done:
            self._shelf.do(self._save_to)
        self._metrics.outbox_unsaved.set(len(self._unsaved))

    def _save_peaks(self) -> None:
        if not self._unsaved:  # the file must not number an event that is not in it
            risen = self._open.take_risen()
            if risen:
                self._shelf.do(lambda file: file.save_episodes(risen))

    def _save_to(self, file: OutboxFile) -> None:
        while self._unsaved:
            # What arrived needs no row; what was refused does, to become a dead letter.
            arrived = {row_id for row_id, why in self._done.items() if why is None}
            dropped = file.write(self._unsaved.first(), without=arrived, limits=self._limits)
            self._metrics.outbox_dropped.labels("size").inc(dropped)
            self._unsaved.drop_first()
        if self._done:
            file.finish(self._done, now=self._now)
            self._done.clear()
        self._shelf.accepted()

    def _bound_memory(self) -> None:
        rows = self._unsaved.give_up_one(self._done.keys())
        unsent = [row for row in rows if row.row_id not in self._done]
        for row in rows:
            self._done.pop(row.row_id, None)
        self._metrics.outbox_dropped.labels("memory").inc(len(unsent))

    def _forget_old(self, file: OutboxFile) -> None:
        expired = file.forget_old(self._limits, now=self._now)
        self._metrics.outbox_dead.labels("expired").inc(expired)

    def _prove(self, file: OutboxFile) -> None:
        file.prove()
        self._shelf.accepted()

    def _adopt(self, found: Iterable[tuple[Episode, list[OutboundMessage]]]) -> None:
        for episode, retained in found:
            self._open.adopt(episode, retained)

    def _reconcile(self) -> list[Episode]:
        """Agree with a late file on what is open, once our own news are in it."""
        if not self._is_late or self._unsaved:
            return []
        strangers = self._shelf.do(self._restate)
        if strangers is None:
            return []
        self._is_late = False
        self._adopt(strangers)
        return [episode for episode, _ in strangers]

    def _restate(self, file: OutboxFile) -> list[tuple[Episode, list[OutboundMessage]]]:
        for known in self._open:
            file.restate(known.episode, known.retained.values())
        self._shelf.accepted()
        return [found for found in file.episodes() if found[0].event_id not in self._open]
