"""What a disk can do to us: each scenario tells a story while the state folder fails.

The law of all of them: every event arrives while the fault lasts, in order, each once; the
fault is said; when it is over everything is durable again, and nothing was deleted.

The disk is a small tmpfs, which needs the right to mount.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.publisher import Publisher
from tests.integration.brokers import RealBroker
from tests.integration.publishing import (
    NOW,
    publisher_for,
    record_story,
    running,
    wait_for_events,
)
from tests.unit.publish.scenes import EVENT_TOPIC


class Disk:
    """A mounted tmpfs of 8 MiB: the write-ahead log alone may take four."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = folder / "outbox.sqlite3"

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(bytes(size))

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def make_writable(self, *, writable: bool) -> None:
        mode = "rw" if writable else "ro"
        _run("mount", "-o", f"remount,{mode}", str(self.folder))

    def damage(self) -> bytes:
        """Overwrite all but the beginning of the outbox; return what is there then."""
        descriptor = os.open(self.outbox, os.O_WRONLY)
        os.pwrite(descriptor, b"\xff" * (self.outbox.stat().st_size - 100), 100)
        os.close(descriptor)
        return self.outbox.read_bytes()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed commands


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mount a small disk on ``folder``.

    Raises:
        OSError: We may not mount.
    """
    try:
        _run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder))
    except subprocess.CalledProcessError as exc:
        raise OSError(errno.EPERM, exc.stderr.decode().strip()) from exc
    try:
        yield Disk(folder)
    finally:
        _run("umount", "-l", str(folder))


@dataclass(slots=True)
class Trial:
    """One scenario under way."""

    disk: Disk
    broker: RealBroker
    events: int
    metrics: Metrics = field(default_factory=Metrics)
    told: list[bytes] = field(default_factory=list)
    now_s: float = 0.0

    def open(self) -> Outbox:
        return Outbox.open(self.disk.outbox, now=NOW, metrics=self.metrics)

    @contextlib.contextmanager
    def publishing(self, outbox: Outbox) -> Iterator[Publisher]:
        publisher = publisher_for(outbox, port=self.broker.port, metrics=self.metrics)
        with running(publisher):
            yield publisher

    def tell(self, outbox: Outbox, publisher: Publisher | None = None) -> None:
        """Record a third of the events; with a publisher, wait until they have arrived."""
        begin = len(self.told) + 1
        told = record_story(outbox, range(begin, begin + self.events // 3))
        self.told += told
        if publisher is not None:
            publisher.wake()
            wait_for_events(self.broker.notes, told)

    def settle(self, outbox: Outbox) -> None:
        """Let half a minute pass."""
        self.now_s += 30.0
        assert outbox.settle(NOW + timedelta(seconds=self.now_s)) == []

    def assert_durable(self, *, durable: bool) -> None:
        assert self.metrics.snapshot()["lsm_outbox_durable"] == durable


def full_while_running(trial: Trial) -> None:
    """The disk fills up while events come, and is freed."""
    outbox = trial.open()
    with trial.publishing(outbox) as publisher:
        trial.tell(outbox, publisher)
        trial.disk.fill()
        trial.tell(outbox, publisher)
        trial.assert_durable(durable=False)
        trial.disk.free()
        trial.settle(outbox)
        trial.assert_durable(durable=True)
        trial.tell(outbox, publisher)
    outbox.close()


def full_at_the_start(trial: Trial) -> None:
    """The disk is full before there is a file, and is freed."""
    trial.disk.fill()
    outbox = trial.open()
    trial.assert_durable(durable=False)
    with trial.publishing(outbox) as publisher:
        trial.tell(outbox, publisher)
        trial.tell(outbox, publisher)
        trial.disk.free()
        trial.settle(outbox)
        trial.assert_durable(durable=True)
        trial.tell(outbox, publisher)
    outbox.close()


def full_while_the_broker_is_away(trial: Trial) -> None:
    """Both fail at once; the broker comes back first."""
    outbox = trial.open()
    with trial.publishing(outbox) as publisher:
        trial.tell(outbox, publisher)
        trial.broker.stop()
        trial.disk.fill()
        trial.tell(outbox)
        trial.assert_durable(durable=False)
        trial.broker.start()
        wait_for_events(trial.broker.notes, trial.told)
        trial.disk.free()
        trial.settle(outbox)
        trial.tell(outbox, publisher)
    outbox.close()


def read_only(trial: Trial) -> None:
    """The state folder is read-only when the daemon starts, with an episode still open."""
    outbox = trial.open()
    trial.tell(outbox)
    outbox.close()
    trial.disk.make_writable(writable=False)
    outbox = trial.open()
    with trial.publishing(outbox) as publisher:
        trial.tell(outbox, publisher)
        trial.assert_durable(durable=False)
        trial.disk.make_writable(writable=True)
        trial.settle(outbox)
        trial.assert_durable(durable=True)
        trial.tell(outbox, publisher)
    outbox.close()


def damaged_at_the_start(trial: Trial) -> None:
    """The file is rubbish when the daemon starts."""
    outbox = trial.open()
    with trial.publishing(outbox) as publisher:
        trial.tell(outbox, publisher)
    outbox.close()
    rubbish = trial.disk.damage()
    outbox = trial.open()
    with trial.publishing(outbox) as publisher:
        trial.tell(outbox, publisher)
        trial.tell(outbox, publisher)
        trial.assert_durable(durable=True)
    outbox.close()
    (aside,) = trial.disk.folder.glob("*.corrupt-*Z")
    assert aside.read_bytes() == rubbish


def damaged_while_running(trial: Trial) -> None:
    """The file becomes rubbish under the daemon."""
    outbox = trial.open()
    with trial.publishing(outbox) as publisher:
        trial.tell(outbox, publisher)
        assert outbox._shelf.file is not None
        outbox._shelf.file._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        trial.disk.damage()
        outbox._shelf.file._connection.execute("PRAGMA shrink_memory")
        trial.tell(outbox, publisher)
        trial.settle(outbox)
        trial.assert_durable(durable=True)
        trial.tell(outbox, publisher)
    outbox.close()
    assert list(trial.disk.folder.glob("*.corrupt-*Z"))


SCENARIOS: Sequence[Callable[[Trial], None]] = (
    full_while_running,
    full_at_the_start,
    full_while_the_broker_is_away,
    read_only,
    damaged_at_the_start,
    damaged_while_running,
)


def try_out(scenario: Callable[[Trial], None], folder: Path, *, events: int) -> float:
    """Run one scenario and check its law; return how many seconds it took.

    Raises:
        AssertionError: Something was lost, late, out of order, or not durable afterwards.
        OSError: We may not mount.
    """
    started_s = time.monotonic()
    with small_disk(folder) as disk, RealBroker() as broker:
        trial = Trial(disk, broker, events)
        scenario(trial)
        assert len(trial.told) == events // 3 * 3
        heard = broker.notes.on(EVENT_TOPIC)
        assert list(dict.fromkeys(heard)) == trial.told
        again = trial.open()
        assert again.count() == 0
        assert [episode.seq for episode in again.episodes()] == [len(trial.told)]
        again.close()
    return time.monotonic() - started_s
