"""What a broker can do to us: each scenario tells a long story and says what arrived.

The law of all of them: every event arrives, in order, byte for byte; repeats are allowed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import Notes, RealBroker, free_port, subscribed
from tests.integration.faulty_link import FaultyLink
from tests.integration.mosquitto import MOSQUITTO
from tests.integration.publishing import (
    ImpatientClock,
    first_of_each,
    open_outbox,
    publisher_for,
    record_story,
    running,
)
from tests.unit.publish.scenes import ACTIVE_TOPIC, EVENT_TOPIC

LONG_S = 60.0
USER, PASSWORD = "lsm", "right"


class Broker(Protocol):
    """A broker of either kind.

    Attributes:
        port: On loopback; stays the same over restarts.
        notes: Every event it has heard, over all restarts.
    """

    port: int
    notes: Notes

    def start(self) -> None:
        """Start it, or start it again."""

    def stop(self) -> None:
        """End it."""

    def forget(self) -> None:
        """Wipe what it stored; it must be stopped."""

    def close(self) -> None:
        """Let go of everything else."""


class Amqtt:
    """amqtt; it stores nothing, so every restart wipes it."""

    def __init__(self, folder: Path, *, auth: bool = False) -> None:
        del folder
        self._broker = RealBroker(user=(USER, PASSWORD) if auth else None)
        self.port, self.notes = self._broker.port, self._broker.notes

    def start(self) -> None:
        self._broker.start()

    def stop(self) -> None:
        self._broker.stop()

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass


class Mosquitto:
    """mosquitto with its store on disk, and a subscriber whose session outlives restarts.

    It is stopped with SIGTERM: killed, it would lose what it has acknowledged and not saved,
    which no publisher can help.
    """

    def __init__(self, folder: Path, *, auth: bool = False) -> None:
        self.port, self.notes = free_port(), Notes()
        self._store = folder / "mosquitto"
        self._store.mkdir()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self._store}/",
            f"allow_anonymous {'false' if auth else 'true'}",
            "max_queued_messages 0",
        ]
        if auth:
            users = folder / "users"
            command = [shutil.which("mosquitto_passwd") or "mosquitto_passwd", "-b", "-c"]
            subprocess.run([*command, str(users), USER, PASSWORD], check=True)  # noqa: S603 - fixed arguments
            lines.append(f"password_file {users}")
        if os.geteuid() == 0:
            lines.append("user root")  # it may else not read what we wrote
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[str] | None = None
        self._subscribed = threading.Event()
        self._ear = Client(CallbackAPIVersion.VERSION2, client_id="ear", clean_session=False)
        self._ear.username_pw_set(USER, PASSWORD)
        self._ear.reconnect_delay_set(1, 1)
        self._ear.on_connect = lambda client, *_: client.subscribe(EVENT_TOPIC, qos=1)
        self._ear.on_subscribe = lambda *_: self._subscribed.set()
        self._ear.on_message = lambda _client, _userdata, message: self.notes.add(
            OutboundMessage(message.topic, bytes(message.payload), message.qos, retain=False)
        )

    def start(self) -> None:
        assert MOSQUITTO is not None
        is_first = self._process is None
        command = [MOSQUITTO, "-c", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own file
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.rstrip().endswith("running"):
                break
        if is_first:
            self._ear.connect("127.0.0.1", self.port)
            self._ear.loop_start()
        assert self._subscribed.wait(LONG_S)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._subscribed.clear()
            self._process.terminate()
            self._process.communicate()

    def close(self) -> None:
        self._ear.disconnect()
        self._ear.loop_stop()

    def forget(self) -> None:
        for file in self._store.iterdir():
            file.unlink()


BROKERS: dict[str, type[Amqtt | Mosquitto]] = {"amqtt": Amqtt}
if MOSQUITTO is not None:
    BROKERS["mosquitto"] = Mosquitto


@dataclass(slots=True)
class Trial:
    """One scenario under way: a broker not yet started, an empty outbox, so many events."""

    broker: Broker
    outbox: Outbox
    events: int
    told: list[bytes] = field(default_factory=list)

    def tell(self, share: float = 1.0) -> None:
        """Record the next share of the story; the last event closes it."""
        begin = len(self.told) + 1
        end = min(begin + round(self.events * share), self.events + 1)
        self.told += record_story(self.outbox, range(begin, end), close=end == self.events + 1)

    def wait_for(self, payloads: Sequence[bytes]) -> None:
        """Wait until all of ``payloads`` have come."""
        missing = set(payloads)
        self.broker.notes.wait_until(
            lambda messages: missing <= {message.payload for message in messages}, LONG_S
        )


def down_for_an_hour(trial: Trial) -> None:
    """All of the events happen while nobody listens on the port."""
    trial.broker.start()
    trial.broker.stop()
    with running(publisher_for(trial.outbox, port=trial.broker.port)):
        trial.tell()
        trial.broker.start()
        trial.wait_for(trial.told)


def restarted(trial: Trial) -> None:
    """The broker is restarted three times, each time with events on their way."""
    trial.broker.start()
    publisher = publisher_for(trial.outbox, port=trial.broker.port)
    with running(publisher):
        for _ in range(3):
            trial.tell(0.25)
            publisher.wake()
            trial.wait_for(trial.told[: -max(1, trial.events // 8)])
            trial.broker.stop()
            trial.broker.start()
        trial.tell(0.26)
        publisher.wake()
        trial.wait_for(trial.told)


def wiped(trial: Trial) -> None:
    """The broker loses its store: whoever asks it afterwards still finds the open episode."""
    trial.broker.start()
    publisher = publisher_for(trial.outbox, port=trial.broker.port)
    with running(publisher):
        trial.tell(0.5)
        publisher.wake()
        trial.wait_for(trial.told)
        trial.broker.stop()
        trial.broker.forget()
        trial.broker.start()
        with subscribed(trial.broker.port, ACTIVE_TOPIC) as active:
            active.wait_for(ACTIVE_TOPIC, trial.told[-1])
        trial.tell(0.6)
        publisher.wake()
        trial.wait_for(trial.told)


def cut_before_the_acknowledgement(trial: Trial) -> None:
    """Five times the broker has a message, and the publisher never hears of it."""
    trial.broker.start()
    with FaultyLink(trial.broker.port, cut_at=(4, 7, 11, 30, 23)) as link:
        trial.tell()
        with running(publisher_for(trial.outbox, port=link.port)):
            trial.wait_for(trial.told)
        assert link.cuts == 5


def slow(trial: Trial) -> None:
    """The network takes 256 kB/s."""
    trial.broker.start()
    with FaultyLink(trial.broker.port, bytes_per_s=256_000) as link:
        publisher = publisher_for(trial.outbox, port=link.port)
        with running(publisher):
            trial.tell()
            publisher.wake()
            trial.wait_for(trial.told)


def refusing(trial: Trial) -> None:
    """The broker wants a password that we have wrong; then somebody corrects it."""
    trial.broker.start()
    port, clock = trial.broker.port, ImpatientClock()
    wrong = publisher_for(trial.outbox, clock=clock, port=port, username=USER, password="wrong")
    with running(wrong):
        trial.tell(0.5)
        clock.wait_for_sleeps(3)
    assert trial.broker.notes.on(EVENT_TOPIC) == []
    right = publisher_for(trial.outbox, port=port, username=USER, password=PASSWORD)
    with running(right):
        trial.tell(0.6)
        right.wake()
        trial.wait_for(trial.told)


SCENARIOS: Sequence[Callable[[Trial], None]] = (
    down_for_an_hour,
    restarted,
    wiped,
    cut_before_the_acknowledgement,
    slow,
    refusing,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What arrived of one scenario."""

    events: int
    repeated: int
    seconds: float


def try_out(
    scenario: Callable[[Trial], None], broker: str, folder: Path, *, events: int
) -> Outcome:
    """Run one scenario and check its law.

    Raises:
        AssertionError: Something was lost, out of order, or told in two ways.
    """
    outbox = open_outbox(folder)
    trial = Trial(BROKERS[broker](folder, auth=scenario is refusing), outbox, events)
    started_s = time.monotonic()
    try:
        scenario(trial)
    finally:
        trial.broker.stop()
        trial.broker.close()
    seconds = time.monotonic() - started_s
    heard = trial.broker.notes.on(EVENT_TOPIC)
    assert len(trial.told) == events
    assert first_of_each(heard) == trial.told
    assert outbox.count() == 0
    outbox.close()
    return Outcome(events, len(heard) - events, seconds)
