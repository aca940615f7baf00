"""What goes over one connection, and in what order.

A batch at a time: the next one leaves when the broker has acknowledged the last, so no event
can overtake an earlier one, and never more is on its way than the broker allows. A message
that the broker will never take must not hold up those behind it: an event goes to the dead
letters. A state that it refuses is offered again with the next heartbeat, because somebody may
have mended its access list; one for which it hangs up is dropped until it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.board import RetainedBoard
from lsm_monitor.publish.broker_causes import CULPABLE
from lsm_monitor.publish.broker_terms import Receipt
from lsm_monitor.publish.mqtt import BrokerConnection
from lsm_monitor.publish.notices import Notices
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import OutboundMessage

logger = logging.getLogger(__name__)


class Delivery:
    """Sends what there is; every method raises ``BrokerError`` when the connection ends.

    Args:
        connection: Accepted by the broker.
        birth: Says that we are there; sent again when it is in doubt whether the broker
            takes anything.
        board: Retained states.
        outbox: Events.
        notices: What is sent once.
        announced: Told which retained topics the broker has forgotten.
        metrics: Counts messages.
        timeout_s: Longest wait for the broker to acknowledge a batch.
        unwanted: What a broker hung up on of the open episodes, by topic; outlives the
            connection, or every new one would end as the last.
        is_careful: Send one message at a time: one of them made the broker hang up.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        *,
        birth: OutboundMessage,
        board: RetainedBoard,
        outbox: Outbox,
        notices: Notices,
        announced: AnnouncedTopics | None,
        metrics: Metrics,
        timeout_s: float,
        unwanted: dict[str, bytes],
        is_careful: bool,
    ) -> None:
        self._connection = connection
        self._birth = birth
        self._board = board
        self._outbox = outbox
        self._notices = notices
        self._announced = announced
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._unwanted = unwanted
        self._window = 1 if is_careful else connection.terms.window
        self._removed: list[str] = []
        self._reported: set[tuple[str, str]] = set()

    async def give_birth(self) -> None:
        """Say that we are there, and tell the open episodes; the states follow as news."""
        self._board.mark_all_changed()
        await self._send_states()  # the first of them is the birth message
        kept = await asyncio.to_thread(self._outbox.kept)
        for topic in self._unwanted.keys() - {message.topic for message in kept}:
            del self._unwanted[topic]
        wanted = [m for m in kept if self._unwanted.get(m.topic) != m.payload]
        for start in range(0, len(wanted), self._window):
            batch = wanted[start : start + self._window]
            receipts = await self._send(batch, flow="state")
            for message, receipt in zip(batch, receipts, strict=True):
                if receipt.refused and self._is_hung_up_on:
                    self._unwanted[message.topic] = message.payload
            self._require(receipts)

    async def send_news(self) -> None:
        """Send what is new in the outbox, on the board and among the notices.

        In turns: a city has ten thousand states, and an alert must not wait for all of them.
        """
        is_news = True
        while is_news:
            is_event = await self._send_events()
            is_news = await self._send_states() or is_event
            if not is_news and (batch := self._notices.take(1)):
                # One by one: they are pictures, and on a slow line an alert must not wait for
                # twenty of them.
                self._require(await self._send(batch, flow="notice"))
                is_news = True
        await self._strike_removed()
        self._window = self._connection.terms.window

    async def tell(self, message: OutboundMessage) -> None:
        """Send a message that need not arrive."""
        await self._send([message], flow="state")

    async def _send_events(self) -> bool:
        """Send the next batch from the outbox; return whether there was one."""
        rows = await asyncio.to_thread(self._outbox.pending, self._window)
        if not rows:
            return False
        receipts = await self._send([row.message for row in rows], flow="event")
        answered = list(zip(rows, receipts, strict=True))
        arrived = [row.row_id for row, receipt in answered if receipt.arrived]
        await asyncio.to_thread(self._outbox.delete, arrived)
        for row, receipt in answered:
            if receipt.refused:
                await asyncio.to_thread(self._outbox.set_aside, row.row_id, receipt.refused)
        self._require(receipts)
        return True

    async def _send_states(self) -> bool:
        """Send the next batch from the board; return whether there was one."""
        batch = self._board.take_changed(self._window)
        if not batch:
            return False
        receipts = await self._send(batch, flow="state")
        for message, receipt in zip(batch, receipts, strict=True):
            is_offensive = receipt.refused and self._is_hung_up_on
            if is_offensive or (receipt.arrived and not message.payload):
                self._board.forget(message)
            if receipt.arrived and not message.payload:
                self._removed.append(message.topic)
        self._require(receipts)
        return True

    async def _strike_removed(self) -> None:
        if self._removed and self._announced is not None:
            await asyncio.to_thread(self._announced.strike, self._removed)
        self._removed.clear()

    async def _send(self, batch: Sequence[OutboundMessage], *, flow: str) -> list[Receipt]:
        """Send a batch of at least one; return what became of each."""
        sent = [self._connection.publish(message) for message in batch]
        await asyncio.wait(sent, timeout=self._timeout_s)
        receipts = [
            future.result() if future.done() else Receipt(arrived=False) for future in sent
        ]
        if len(batch) == 1 and self._is_hung_up_on:
            receipts = [Receipt(arrived=False, refused=self._connection.cause)]
        if any(receipt.doubted for receipt in receipts):
            receipts = await self._resolve(receipts)
        self._metrics.mqtt_published.labels(flow).inc(sum(r.arrived for r in receipts))
        for message, receipt in zip(batch, receipts, strict=True):
            if receipt.refused:
                self._report(message, receipt.refused, flow)
        return receipts

    @property
    def _is_hung_up_on(self) -> bool:
        """Whether the broker ended the connection because of a message."""
        return self._connection.cause in CULPABLE

    async def _resolve(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Find out whose fault it is: a broker that takes our birth takes messages."""
        probe = self._connection.publish(self._birth)
        await asyncio.wait([probe], timeout=self._timeout_s)
        if not (probe.done() and probe.result().arrived):
            self._connection.give_up("busy")
            return list(receipts)
        return [Receipt(r.arrived, r.refused or r.doubted) for r in receipts]

    def _report(self, message: OutboundMessage, reason: str, flow: str) -> None:
        """Count a refusal; log the first of its kind on this connection."""
        self._metrics.mqtt_refused.labels(flow, reason).inc()
        if (flow, reason) not in self._reported:
            self._reported.add((flow, reason))
            logger.warning(
                "broker %s: will never take %d bytes on %s (%s); the metrics count the rest",
                self._connection.address,
                len(message.payload),
                message.topic,
                reason,
            )

    def _require(self, receipts: Sequence[Receipt]) -> None:
        """Go on only if the fate of every message is known."""
        if not all(receipt.arrived or receipt.refused for receipt in receipts):
            self._connection.give_up()
        self._connection.raise_if_ended()
