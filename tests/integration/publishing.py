"""A publisher that runs, and the events it has to tell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from lsm_monitor.clock import SystemClock
from lsm_monitor.config.models import MqttConfig
from lsm_monitor.demo.loop_thread import LoopThread
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.inbox import Inbox
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.publisher import Publisher
from lsm_monitor.types import EventKind, OutboundMessage, WaterLevel
from tests.integration.brokers import WAIT_S, Notes
from tests.unit.publish.scenes import EVENT_TOPIC, MESSAGES, event_of, messages_of

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)


class ImpatientClock(SystemClock):
    """The real clock, but nobody sleeps for long between two attempts; sleeps are counted."""

    def __init__(self) -> None:
        self._sleeps = 0
        self._slept = threading.Condition()

    async def sleep(self, seconds: float) -> None:
        with self._slept:
            self._sleeps += 1
            self._slept.notify_all()
        await super().sleep(min(seconds, 0.05))

    def wait_for_sleeps(self, count: int) -> None:
        with self._slept:
            assert self._slept.wait_for(lambda: self._sleeps >= count, WAIT_S)


def publisher_for(
    outbox: Outbox,
    *,
    metrics: Metrics | None = None,
    clock: ImpatientClock | None = None,
    announced: AnnouncedTopics | None = None,
    inbox: Inbox | None = None,
    topic_filters: Sequence[str] = (),
    **settings: object,
) -> Publisher:
    # amqtt knows 3.1.1 only, and misreads 5; see test_mqtt5.py for that.
    values = {
        "host": "127.0.0.1",
        "connect_timeout_s": 2.0,
        "protocol": "3.1.1",
        **settings,
    }
    counted = metrics or Metrics()
    return Publisher(
        config=MqttConfig.model_validate(values),
        client_id="lsm-test",
        birth=MESSAGES.status(online=True),
        last_will=MESSAGES.status(online=False),
        outbox=outbox,
        stats=lambda: MESSAGES.stats(json.dumps({"metrics": counted.snapshot()}).encode()),
        metrics=counted,
        clock=clock or ImpatientClock(),
        announced=announced,
        inbox=inbox,
        topic_filters=topic_filters,
    )


@contextlib.contextmanager
def running(publisher: Publisher) -> Iterator[None]:
    """Run ``publisher`` as the daemon does: in an event loop, until it is cancelled."""

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(publisher.run(), name=publisher.name)

    async def stop(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    thread = LoopThread("publisher")
    thread.start()
    try:
        task = thread.call(start(), timeout_s=WAIT_S)
        yield
        thread.call(stop(task), timeout_s=WAIT_S)
    finally:
        thread.stop()


def open_outbox(folder: Path) -> Outbox:
    return Outbox.open(folder / "outbox.sqlite", now=NOW)


def record_story(outbox: Outbox, seqs: Sequence[int], *, close: bool = False) -> list[bytes]:
    """Record one event per number, the last of them a close if wanted; return payloads."""
    payloads = []
    for seq in seqs:
        is_last = close and seq == seqs[-1]
        kind = EventKind.CLOSE if is_last else EventKind.UPDATE
        level = WaterLevel.DRY if is_last else WaterLevel.FLOODED
        event = event_of(kind if seq > 1 else EventKind.OPEN, seq=seq, level=level)
        messages = messages_of(event)
        outbox.record(event, messages, now=NOW)
        payloads.append(messages[0].payload)
    return payloads


def first_of_each(messages: Sequence[bytes]) -> list[bytes]:
    """Return what a subscriber keeps that ignores repeated events."""
    return list(dict.fromkeys(messages))


def retained(topic: str, payload: bytes) -> OutboundMessage:
    return OutboundMessage(topic, payload, qos=1, retain=True)


def wait_for_events(notes: Notes, payloads: list[bytes]) -> None:
    """Wait until every one of ``payloads`` came at least once."""
    notes.wait_until(
        lambda messages: (
            set(payloads) <= {m.payload for m in messages if m.topic == EVENT_TOPIC}
        )
    )
