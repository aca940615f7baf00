"""Hostile input for everything that can get some; by the million: benchmarks/fuzz.py.

Not collected by itself: see ``test_fuzz.py``.
"""

from __future__ import annotations

import os
import pickle  # noqa: TID251 - to see that it would be seen
import random
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import harness
from tests.fuzz.harness import Target, fuzz
from tests.fuzz.mutate import MAX_BYTES, mutate
from tests.fuzz.targets import NAMES, target

CASES = {
    "bundle": 3,
    "video": 40,
    "outbox": 100,
    "http": 150,
    "status": 150,
    "rtsp": 15,
    "web-camera": 3,
    "broker": 150,
    "page": 150,
}


@pytest.mark.parametrize("name", NAMES)
def test_hostile_input_gets_an_error_and_nothing_else(name: str, tmp_path: Path) -> None:
    with target(name, tmp_path) as hostile:
        report = fuzz(hostile, numbers=range(CASES.get(name, 300)), seed=1, folder=tmp_path)
    assert dict(report.failures) == {}
    assert report.cases == CASES.get(name, 300)


def a_target(run: object) -> Target:
    assert callable(run)
    return Target("a", (b"good",), run, (ValueError,), limit_s=0.2)


def failures_of(run: object, folder: Path) -> list[str]:
    report = fuzz(a_target(run), numbers=range(1), seed=0, folder=folder)
    return list(report.failures)


def test_the_harness_sees_what_a_parser_must_not_do(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.touch()
    forever = threading.Event()

    def refuse(_: bytes) -> None:
        raise ValueError

    assert failures_of(refuse, inside) == []
    assert failures_of(lambda _: (inside / "x").touch(), inside) == []
    assert "KeyError" in failures_of(lambda _: dict[str, str]()["x"], inside)[0]
    assert "no answer" in failures_of(lambda _: forever.wait(), inside)[0]
    assert "outside" in failures_of(lambda _: outside.write_text("x"), inside)[0]
    assert "outside" in failures_of(lambda _: outside.rename(inside / "y"), inside)[0]
    assert "outside" in failures_of(lambda _: (inside / ".." / "z").mkdir(), inside)[0]
    assert "os.system" in failures_of(lambda _: os.system("true"), inside)[0]  # noqa: S605, S607
    stolen = pickle.dumps(sys.exit)
    assert "pickle" in failures_of(lambda _: pickle.loads(stolen), inside)[0]  # noqa: S301


@given(number=st.integers(0, 10_000), seeds=st.lists(st.binary(), min_size=1))
def test_a_case_is_made_of_its_number_alone_and_never_too_large(
    number: int, seeds: list[bytes]
) -> None:
    first = mutate(random.Random(number), seeds)  # noqa: S311
    assert first == mutate(random.Random(number), seeds)  # noqa: S311
    assert len(first) <= MAX_BYTES


def test_the_good_inputs_come_first_and_the_rest_differs() -> None:
    good = a_target(len)
    cases = [harness.case_of(good, 0, number) for number in range(50)]
    assert cases[0] == b"good"
    assert len(set(cases)) > 25
