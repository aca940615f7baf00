"""The publisher against mosquitto, the broker that most cities run."""

from __future__ import annotations

from pathlib import Path

from tests.integration.brokers import WAIT_S, free_port, subscribed
from tests.integration.mosquitto import mosquitto, needs_mosquitto
from tests.integration.publishing import (
    first_of_each,
    open_outbox,
    publisher_for,
    record_story,
    running,
    wait_for_events,
)
from tests.unit.publish.scenes import EVENT_TOPIC

pytestmark = needs_mosquitto


def test_events_arrive_in_order_and_the_outbox_is_empty_afterwards(tmp_path: Path) -> None:
    port, outbox = free_port(), open_outbox(tmp_path)
    with mosquitto(port), subscribed(port, EVENT_TOPIC) as heard:
        told = record_story(outbox, range(1, 31))
        with running(publisher_for(outbox, port=port)):
            wait_for_events(heard, told)
        assert first_of_each(heard.on(EVENT_TOPIC)) == told
    assert outbox.count() == 0
    outbox.close()


def test_a_broker_that_is_killed_and_comes_back_gets_what_it_missed(tmp_path: Path) -> None:
    port, outbox = free_port(), open_outbox(tmp_path)
    early = record_story(outbox, [1, 2])
    with (
        mosquitto(port) as broker,
        subscribed(port, EVENT_TOPIC) as heard,
        running(publisher_for(outbox, port=port)),
    ):
        wait_for_events(heard, early)
        broker.kill()
        broker.wait(WAIT_S)
        late = record_story(outbox, [3, 4], close=True)
    with mosquitto(port), subscribed(port, EVENT_TOPIC) as heard:
        with running(publisher_for(outbox, port=port)):
            wait_for_events(heard, late)
        assert first_of_each(heard.on(EVENT_TOPIC))[-2:] == late
    assert outbox.count() == 0
    outbox.close()


def test_a_late_subscriber_finds_the_open_episode(tmp_path: Path) -> None:
    port, outbox = free_port(), open_outbox(tmp_path)
    publisher = publisher_for(outbox, port=port)
    with mosquitto(port), running(publisher):
        with subscribed(port, EVENT_TOPIC) as heard:
            told = record_story(outbox, [1, 2])
            publisher.wake()
            wait_for_events(heard, told)
        with subscribed(port, "lsm/v1/hz-west/event/active/+") as active:
            active.wait_until(
                lambda messages: [m.payload for m in messages][-1:] == told[-1:], WAIT_S
            )
    outbox.close()
