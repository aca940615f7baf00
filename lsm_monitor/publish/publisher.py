"""The service that keeps the broker informed, whatever becomes of the connection.

On every new connection it first says who is there: the birth message, every retained state,
the open episodes. Then it empties the outbox in order, a batch at a time: the next batch
leaves when the broker has acknowledged the last, so no event can overtake an earlier one,
and after a lost connection the same messages go out again in the same order. There is no
other queue: states are kept on a board where the newest wins.

It tries for ever. A broker that is away is no reason to stop watching the street.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence

from lsm_monitor.clock import Clock
from lsm_monitor.config.models import MqttConfig
from lsm_monitor.errors import BrokerError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.board import RetainedBoard
from lsm_monitor.publish.mqtt import MAX_IN_FLIGHT, BrokerConnection
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import OutboundMessage

logger = logging.getLogger(__name__)

STATS_EVERY_S = 60.0
_BACKOFF_S = 1.0
_BACKOFF_MAX_S = 30.0
# A shorter connection does not end a row of failures: two daemons with one client id throw
# each other out as fast as they are let in.
_HEALTHY_AFTER_S = 30.0
_FLUSH_TIMEOUT_S = 3.0
_GOODBYE_TIMEOUT_S = 1.0


class Publisher:
    """Publishes states and events; ``retain`` and ``wake`` may be called from any thread.

    Args:
        config: Address, credentials and times of the broker.
        client_id: Who we are; no two clients of a broker may share it.
        birth: Retained message that says the daemon is there.
        last_will: Retained message on the same topic that says it is not.
        outbox: Where events wait.
        stats: Makes the message that is published every minute.
        metrics: Counts connections and messages.
        clock: Time for heartbeats and between attempts.
    """

    name = "mqtt"

    def __init__(
        self,
        *,
        config: MqttConfig,
        client_id: str,
        birth: OutboundMessage,
        last_will: OutboundMessage,
        outbox: Outbox,
        stats: Callable[[], OutboundMessage],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._last_will = last_will
        self._outbox = outbox
        self._stats = stats
        self._metrics = metrics
        self._clock = clock
        self._board = RetainedBoard()
        # First on the board, so first on every connection and in every heartbeat.
        self._board.put(birth)
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._reported_reason = ""

    def retain(self, message: OutboundMessage) -> None:
        """Publish ``message`` now if it is new, and again with every heartbeat and birth.

        Raises:
            ValueError: The message is not to be retained.
        """
        self._board.put(message)
        self.wake()

    def wake(self) -> None:
        """Look into the outbox now."""
        if self._loop is not None:
            # RuntimeError: the event loop is closed, so there is nobody to wake.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Publish until cancelled; then say goodbye within a few seconds.

        Raises:
            StoreError: The outbox cannot be read or written.
        """
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        failures_in_a_row = 0
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await self._serve(await self._connect())
            except BrokerError as exc:
                self._report(exc)
            lasted_s = self._clock.monotonic_s() - started_s
            failures_in_a_row = 1 if lasted_s >= _HEALTHY_AFTER_S else failures_in_a_row + 1
            await self._count_outbox()
            await self._clock.sleep(_backoff_s(failures_in_a_row))

    async def _connect(self) -> BrokerConnection:
        try:
            connection = await BrokerConnection.open(
                self._config,
                client_id=self._client_id,
                last_will=self._last_will,
                on_end=self._woken.set,
            )
        except BrokerError as exc:
            self._metrics.mqtt_connects.labels(exc.reason).inc()
            raise
        self._metrics.mqtt_connects.labels("accepted").inc()
        return connection

    async def _serve(self, connection: BrokerConnection) -> None:
        """Publish on ``connection`` until it ends, which is an error, or we are cancelled."""
        self._metrics.mqtt_connected.set(1)
        logger.info("broker %s: connected", connection.address)
        self._reported_reason = ""
        publishing = asyncio.create_task(self._keep_publishing(connection), name="mqtt-publish")
        try:
            await asyncio.shield(publishing)
        except asyncio.CancelledError:
            # Let it finish what is on its way: interrupted, a batch would be sent twice.
            self._stopping = True
            self._woken.set()
            # Not asyncio.timeout(): in Python 3.11 it does not work in a cancelled task.
            await asyncio.wait([publishing], timeout=_FLUSH_TIMEOUT_S)
            if not publishing.done():
                logger.warning("mqtt: the broker is too slow; the rest stays in the outbox")
            raise
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            self._metrics.mqtt_connected.set(0)
            await self._say_goodbye(connection)

    async def _give_birth(self, connection: BrokerConnection) -> None:
        self._board.mark_all_changed()
        await self._send_board(connection)
        kept = await asyncio.to_thread(self._outbox.kept)
        for start in range(0, len(kept), MAX_IN_FLIGHT):
            batch = kept[start : start + MAX_IN_FLIGHT]
            self._require(connection, await self._deliver(connection, batch, flow="state"))

    async def _keep_publishing(self, connection: BrokerConnection) -> None:
        await self._give_birth(connection)
        heartbeat_s = self._clock.monotonic_s() + self._config.heartbeat_s
        stats_s = self._clock.monotonic_s()
        while True:
            now_s = self._clock.monotonic_s()
            if now_s >= heartbeat_s:
                self._board.mark_all_changed()
                heartbeat_s = now_s + self._config.heartbeat_s
            if now_s >= stats_s:
                await self._deliver(connection, [self._stats()], flow="state")
                stats_s = now_s + STATS_EVERY_S
            await self._send_news(connection)
            if self._stopping:
                return
            connection.raise_if_ended()
            with contextlib.suppress(TimeoutError):
                due_s = min(heartbeat_s, stats_s) - self._clock.monotonic_s()
                async with asyncio.timeout(due_s):
                    await self._woken.wait()
            self._woken.clear()

    async def _send_news(self, connection: BrokerConnection) -> None:
        """Send what is new on the board and in the outbox until nothing is."""
        await self._send_board(connection)
        while rows := await asyncio.to_thread(self._outbox.pending, MAX_IN_FLIGHT):
            arrived = await self._deliver(
                connection, [row.message for row in rows], flow="event"
            )
            done = [row.row_id for row, here in zip(rows, arrived, strict=True) if here]
            await asyncio.to_thread(self._outbox.delete, done)
            self._require(connection, arrived)
            await self._send_board(connection)
        await self._count_outbox()

    async def _send_board(self, connection: BrokerConnection) -> None:
        while batch := self._board.take_changed(MAX_IN_FLIGHT):
            self._require(connection, await self._deliver(connection, batch, flow="state"))

    async def _deliver(
        self, connection: BrokerConnection, batch: Sequence[OutboundMessage], *, flow: str
    ) -> list[bool]:
        """Send a batch of at least one; return which of it the broker acknowledged."""
        acknowledged = [connection.publish(message) for message in batch]
        await asyncio.wait(acknowledged, timeout=self._config.connect_timeout_s)
        arrived = [future.done() and future.result() for future in acknowledged]
        self._metrics.mqtt_published.labels(flow).inc(sum(arrived))
        return arrived

    def _require(self, connection: BrokerConnection, arrived: Sequence[bool]) -> None:
        if not all(arrived):
            connection.give_up()
            connection.raise_if_ended()

    async def _say_goodbye(self, connection: BrokerConnection) -> None:
        if connection.is_open:
            goodbye = connection.publish(self._last_will)
            await asyncio.wait([goodbye], timeout=_GOODBYE_TIMEOUT_S)
        await connection.close()

    async def _count_outbox(self) -> None:
        self._metrics.outbox_messages.set(await asyncio.to_thread(self._outbox.count))
        oldest_at = await asyncio.to_thread(self._outbox.oldest_at)
        age_s = (self._clock.now() - oldest_at).total_seconds() if oldest_at else 0.0
        self._metrics.outbox_oldest_s.set(age_s)

    def _report(self, exc: BrokerError) -> None:
        """Log the first failure of its kind in a row; the metrics count them all."""
        if exc.reason != self._reported_reason:
            logger.warning("%s; trying again until it works", exc)
        self._reported_reason = exc.reason


def _backoff_s(failures_in_a_row: int) -> float:
    # The exponent is capped before the power: a year of failures must not overflow.
    ceiling_s = min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0 ** min(failures_in_a_row - 1, 10))
    return random.uniform(ceiling_s / 2, ceiling_s)  # noqa: S311 - jitter
