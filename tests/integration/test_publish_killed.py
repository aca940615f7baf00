"""A publisher that dies as in a power cut: SIGKILL, at the worst of times."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.brokers import RealBroker
from tests.integration.publishing import (
    open_outbox,
    publisher_for,
    running,
    wait_for_events,
)
from tests.unit.publish.scenes import EVENT_TOPIC, TOPICS

CHILD = Path(__file__).with_name("publishing_child.py")


def kill_child(*arguments: object, when: Callable[[subprocess.Popen[str]], None]) -> None:
    """Start ``publishing_child.py`` and kill it, as a power cut would, after ``when``."""
    command = [sys.executable, str(CHILD), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own script
        try:
            when(child)
        finally:
            child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL


def test_a_process_that_is_killed_before_it_sends_loses_nothing(tmp_path: Path) -> None:
    def recorded(child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        assert child.stdout.readline() == "recorded\n"

    kill_child("record", tmp_path, 20, when=recorded)
    outbox = open_outbox(tmp_path)
    assert [episode.seq for episode in outbox.episodes()] == [20]
    expected = [row.message.payload for row in outbox.pending(100)[::2]]
    with RealBroker() as broker, running(publisher_for(outbox, port=broker.port)):
        wait_for_events(broker.notes, expected)
    assert broker.notes.on(EVENT_TOPIC) == expected
    assert [json.loads(payload)["seq"] for payload in expected] == list(range(1, 21))
    outbox.close()


def test_a_process_that_is_killed_while_it_sends_loses_nothing_and_its_last_will_is_told(
    tmp_path: Path,
) -> None:
    with RealBroker() as broker, broker.subscriber(TOPICS.status) as heard:
        kill_child(
            "publish",
            tmp_path,
            400,
            broker.port,
            when=lambda _: broker.notes.wait_until(
                lambda messages: [m.topic for m in messages].count(EVENT_TOPIC) >= 30
            ),
        )
        heard.wait_for(TOPICS.status, b"offline")
        outbox = open_outbox(tmp_path)
        left = outbox.count()
        with running(publisher_for(outbox, port=broker.port)):
            broker.notes.wait_until(
                lambda messages: (
                    len({m.payload for m in messages if m.topic == EVENT_TOPIC}) == 400
                )
            )
        outbox.close()
    assert 0 < left < 800
    seqs = [json.loads(payload)["seq"] for payload in broker.notes.on(EVENT_TOPIC)]
    assert list(dict.fromkeys(seqs)) == list(range(1, 401))
