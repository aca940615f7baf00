"""The service that keeps the broker informed, whatever becomes of the connection.

On every new connection it first says who is there: the birth message and the open episodes.
Then it empties the outbox in order, a batch at a time, in turns with the retained states:
the next batch leaves when the broker has acknowledged the last, so no event can overtake an
earlier one, and after a lost connection the same messages go out again in the same order.
States are kept on a board where the newest wins; see ``delivery.py``.

It tries for ever. A broker that is away is no reason to stop watching the street.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Sequence

from paho.mqtt.enums import MQTTProtocolVersion

from lsm_monitor.clock import Clock
from lsm_monitor.config.models import MqttConfig
from lsm_monitor.errors import BrokerError, ConfigError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.board import RetainedBoard
from lsm_monitor.publish.broker_causes import CULPABLE
from lsm_monitor.publish.broker_client import MQTT_3_1_1
from lsm_monitor.publish.broker_log import BrokerLog
from lsm_monitor.publish.delivery import Delivery
from lsm_monitor.publish.inbox import Ears, Inbox
from lsm_monitor.publish.mqtt import BrokerConnection
from lsm_monitor.publish.notices import Notices
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.protocol_choice import ProtocolChoice
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
    """Publishes states and events; the methods may be called from any thread.

    Args:
        config: Address, credentials and times of the broker.
        client_id: Who we are; no two clients of a broker may share it.
        birth: Retained message that says the daemon is there.
        last_will: Retained message on the same topic that says it is not.
        outbox: Where events wait.
        stats: Makes the message that is published every minute; in another thread, because
            it grows with the number of cameras.
        metrics: Counts connections and messages.
        clock: Time for heartbeats and between attempts.
        announced: Remembers which retained topics there are; see :meth:`watch`.
        inbox: Where what is published to us goes.
        topic_filters: What is subscribed to; with ``inbox``.
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
        announced: AnnouncedTopics | None = None,
        inbox: Inbox | None = None,
        topic_filters: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._birth = birth
        self._last_will = last_will
        self._outbox = outbox
        self._stats = stats
        self._metrics = metrics
        self._clock = clock
        self._announced = announced
        self._log = BrokerLog(client_id)
        self._ears = Ears(topic_filters, inbox.put, self._log.deaf) if inbox else None
        self._notices = Notices(metrics)
        self._board = RetainedBoard()
        metrics.queue_depth.labels("states").set_function(self._board.changed)
        # First on the board, so first on every connection and in every heartbeat.
        self._board.put(birth)
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._protocol = ProtocolChoice(config.protocol, clock)
        self._is_careful = False
        self._unwanted: dict[str, bytes] = {}

    def retain(self, message: OutboundMessage) -> None:
        """Publish ``message`` now if it is new, and again with every heartbeat and birth.

        Raises:
            ValueError: The message is not to be retained.
        """
        self._board.put(message)
        self.wake()

    def watch(self, topics: Collection[str]) -> None:
        """Say which retained topics there are from now on; waits for the disk.

        What was announced before, by this process or an earlier one, and is not among
        ``topics`` is removed at the broker, and stays removed. Call it at the start and
        whenever the configuration has changed, before anything is retained on a new topic.
        """
        self._notices.keep_on(topics)
        if self._announced is not None:
            self._board.remove(self._announced.replace(topics))
            self.wake()

    def repeat(self, prefix: str) -> None:
        """Publish everything retained below ``prefix`` again: somebody missed it."""
        self._board.mark_all_changed(prefix)
        self.wake()

    def tell(self, message: OutboundMessage) -> None:
        """Publish ``message`` once, on this connection or the next; not for alerts.

        It stays at the broker only if its topic is watched then, see :meth:`watch`.
        """
        self._notices.put(message)
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
            ConfigError: Another client uses our client id: both would throw each other out
                for ever, so one has to go.
        """
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        failures_in_a_row = 0
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await self._serve(await self._connect())
            except BrokerError as exc:
                self._give_way(exc)
                self._log.failed(exc, failures_in_a_row)
            lasted_s = self._clock.monotonic_s() - started_s
            failures_in_a_row = 1 if lasted_s >= _HEALTHY_AFTER_S else failures_in_a_row + 1
            await self._count_outbox()
            await self._clock.sleep(_backoff_s(failures_in_a_row))

    async def _connect(self) -> BrokerConnection:
        """Connect with the newest protocol that the broker speaks."""
        try:
            return await self._open(self._protocol.best)
        except BrokerError as exc:
            if not self._protocol.may_be_too_new(exc.reason):
                raise
            connection = await self._open(MQTT_3_1_1)
            self._protocol.was_too_new(exc.reason)
            logger.info("broker %s: MQTT 3.1.1, not 5 (%s)", connection.address, exc.reason)
            return connection

    async def _open(self, protocol: MQTTProtocolVersion) -> BrokerConnection:
        try:
            connection = await BrokerConnection.open(
                self._config,
                client_id=self._client_id,
                last_will=self._last_will,
                on_end=self._woken.set,
                protocol=protocol,
                ears=self._ears,
            )
        except BrokerError as exc:
            self._metrics.mqtt_connects.labels(exc.reason).inc()
            raise
        self._metrics.mqtt_connects.labels("accepted").inc()
        return connection

    async def _serve(self, connection: BrokerConnection) -> None:
        """Publish on ``connection`` until it ends, which is an error, or we are cancelled."""
        self._metrics.mqtt_connected.set(1)
        self._log.connected(connection.address)
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

    async def _keep_publishing(self, connection: BrokerConnection) -> None:
        delivery = Delivery(
            connection,
            birth=self._birth,
            board=self._board,
            outbox=self._outbox,
            notices=self._notices,
            announced=self._announced,
            metrics=self._metrics,
            timeout_s=self._config.connect_timeout_s,
            unwanted=self._unwanted,
            is_careful=self._is_careful,
        )
        await delivery.give_birth()
        heartbeat_s = self._clock.monotonic_s() + self._config.heartbeat_s
        stats_s = self._clock.monotonic_s()
        while True:
            now_s = self._clock.monotonic_s()
            if now_s >= heartbeat_s:
                self._board.mark_all_changed()
                heartbeat_s = now_s + self._config.heartbeat_s
            await delivery.send_news()
            await self._count_outbox()
            if now_s >= stats_s:
                # Behind the alerts: a broker that hangs up on so long a message has them.
                await delivery.tell(await asyncio.to_thread(self._stats))
                stats_s = now_s + STATS_EVERY_S
            self._is_careful = False
            if self._stopping:
                return
            connection.raise_if_ended()
            with contextlib.suppress(TimeoutError):
                due_s = min(heartbeat_s, stats_s) - self._clock.monotonic_s()
                async with asyncio.timeout(due_s):
                    await self._woken.wait()
            self._woken.clear()

    async def _say_goodbye(self, connection: BrokerConnection) -> None:
        if connection.is_open:
            goodbye = connection.publish(self._last_will)
            await asyncio.wait([goodbye], timeout=_GOODBYE_TIMEOUT_S)
        await connection.close()

    async def _count_outbox(self) -> None:
        self._metrics.outbox_messages.set(await asyncio.to_thread(self._outbox.count))
        oldest_at = await asyncio.to_thread(self._outbox.oldest_at)
        age_s = (self._clock.now() - oldest_at).total_seconds() if oldest_at else 0.0
        # Below zero after the wall clock was set back.
        self._metrics.outbox_oldest_s.set(max(0.0, age_s))

    def _give_way(self, exc: BrokerError) -> None:
        """Draw the consequences of how a connection ended.

        Raises:
            ConfigError: Another client has our client id.
        """
        if exc.reason == "taken_over":
            msg = (
                f"{exc} ({self._client_id!r}): two daemons share it, or another program uses "
                "it; give each its own 'mqtt.client_id'"
            )
            raise ConfigError(msg) from exc
        if exc.reason in CULPABLE:
            self._is_careful = True


def _backoff_s(failures_in_a_row: int) -> float:
    # The exponent is capped before the power: a year of failures must not overflow.
    ceiling_s = min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0 ** min(failures_in_a_row - 1, 10))
    return random.uniform(ceiling_s / 2, ceiling_s)  # noqa: S311 - jitter
