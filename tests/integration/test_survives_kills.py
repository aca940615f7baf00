"""SIGKILL at random moments of a scripted street; the large run is benchmarks/bench_kill.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.brokers import RealBroker, free_port
from tests.integration.killing import check, kill_at_random
from tests.integration.mosquitto import MOSQUITTO, mosquitto

pytestmark = pytest.mark.slow


def test_kills_at_random_moments_lose_nothing_and_tell_nothing_twice(tmp_path: Path) -> None:
    with RealBroker() as broker:
        report = kill_at_random(
            tmp_path, broker.port, protocol="3.1.1", cameras=6, cycles=2, kills=5, seed=1
        )
    assert report.kills >= 2
    assert report.episodes == 12


@pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not there: apt-get install mosquitto"
)
def test_kills_at_random_moments_lose_nothing_at_mosquitto(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(port):
        report = kill_at_random(
            tmp_path, port, protocol="5", cameras=6, cycles=2, kills=5, seed=2
        )
    assert report.kills >= 2
    assert report.episodes == 12


def story(event_id: str = "a", camera: str = "c0") -> list[bytes]:
    return [
        json.dumps(
            {"event_id": event_id, "seq": seq, "event_type": kind, "camera": camera}
        ).encode()
        for seq, kind in enumerate(("open", "update", "close"), start=1)
    ]


def test_the_law_allows_what_a_restart_may_do() -> None:
    first, second, third = story()
    told = [first, *story("b", "c1"), second, first, second, third, third, *story("c")]
    assert check(told, list(dict.fromkeys(told)), floods=3) == 3


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda s: s[:2], id="lost"),
        pytest.param(lambda s: [s[1], s[0], s[2]], id="order"),
        pytest.param(lambda s: [*s, s[2].replace(b"c0", b"c1")], id="two-contents"),
        pytest.param(lambda s: [s[0], *story("b"), *s[1:]], id="opened-twice"),
        pytest.param(lambda s: [*s, *story("b")[:2]], id="never-closed"),
        pytest.param(lambda s: [*s, *story("b")], id="one-flood-two-episodes"),
    ],
)
def test_the_law_forbids_what_must_not_happen(
    broken: Callable[[list[bytes]], list[bytes]],
) -> None:
    told = broken(story())
    recorded = {*story(), *told}
    with pytest.raises(AssertionError):
        check(told, list(recorded), floods=1)
