from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.runtime import log_folding
from lsm_monitor.runtime.log_folding import FoldingHandler

WINDOW_S = 60.0


class Lines(logging.Handler):
    """Keeps what is passed on."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.told = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if "more within" in record.getMessage():
            self.told.set()

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


class Folding:
    """A folding handler whose time stands still until a test moves it."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.now_s = 1000.0
        self.lines = Lines()
        self.handler = FoldingHandler(
            self.lines, window_s=window_s, monotonic_s=lambda: self.now_s
        )

    def log(
        self, text: str, *arguments: object, level: int = logging.WARNING, name: str = "a"
    ) -> None:
        self.handler.handle(logging.LogRecord(name, level, "f", 1, text, arguments, None))


def counted(texts: Iterable[str]) -> int:
    """Return how many records ``texts`` stand for."""
    total = 0
    for text in texts:
        match = re.search(r"\((?:(once)|(\d+) times) more within", text)
        total += 1 if match is None or match[1] else int(match[2])
    return total


def test_the_first_is_told_at_once_and_the_rest_as_a_count() -> None:
    folding = Folding()
    for _ in range(3):
        folding.log("camera %r: no answer", "bridge")
    assert folding.lines.texts == ["camera 'bridge': no answer"]
    folding.now_s += WINDOW_S
    folding.log("something else")
    assert folding.lines.texts[1:] == [
        "camera 'bridge': no answer (2 times more within 60 s)",
        "something else",
    ]


def test_a_fault_that_comes_back_after_its_window_is_told_at_once_again() -> None:
    folding = Folding()
    folding.log("no answer")
    folding.now_s += WINDOW_S
    folding.log("no answer")
    assert folding.lines.texts == ["no answer", "no answer"]


def test_measures_do_not_make_a_fault_another_one_but_names_and_codes_do() -> None:
    folding = Folding()
    folding.log("%s failed; restarting in %.1f s", "http", 0.7)
    folding.log("%s failed; restarting in %.1f s", "http", 1.9)
    folding.log("%s failed; restarting in %.1f s", "mqtt", 1.9)
    folding.log("answer %d", 401)
    folding.log("answer %d", 404)
    folding.log("answer %d", 404, name="b")
    folding.log("answer %d", 404, level=logging.ERROR)
    assert len(folding.lines.texts) == 6


def test_another_exception_is_another_fault() -> None:
    folding = Folding()
    for text in ("one", "two", "two"):
        exc_info = (ValueError, ValueError(text), None)
        folding.handler.handle(
            logging.LogRecord("a", logging.ERROR, "f", 1, "failed", (), exc_info)
        )
    folding.handler.flush()
    assert folding.lines.texts == ["failed", "failed", "failed (once more within 60 s)"]
    assert [bool(r.exc_info) for r in folding.lines.records] == [True, True, False]


def test_what_is_no_fault_is_never_folded() -> None:
    folding = Folding()
    for _ in range(3):
        folding.log("event #1", level=logging.INFO)
    assert len(folding.lines.texts) == 3


def test_a_count_is_told_even_when_nothing_else_is_ever_logged() -> None:
    lines = Lines()
    handler = FoldingHandler(lines, window_s=0.05)
    for _ in range(2):
        handler.handle(logging.LogRecord("a", logging.ERROR, "f", 1, "no answer", (), None))
    assert lines.told.wait(30.0)
    handler.close()
    assert lines.texts == ["no answer", "no answer (once more within 0.05 s)"]


def test_more_kinds_than_it_keeps_are_passed_on_unfolded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_folding, "_MAX_KINDS", 2)
    folding = Folding()
    for text in ("a", "b", "c", "c", "a"):
        folding.log(text)
    assert folding.lines.texts == ["a", "b", "c", "c"]


faults = st.tuples(
    st.sampled_from(["a", "b", "%"]),
    st.sampled_from([logging.INFO, logging.WARNING, logging.ERROR]),
    st.floats(0, 2 * WINDOW_S),
)


@given(st.lists(faults, max_size=60))
def test_the_counts_add_up_and_every_first_is_told_at_once(
    script: list[tuple[str, int, float]],
) -> None:
    folding = Folding()
    seen: set[tuple[str, int]] = set()
    for text, level, pause_s in script:
        folding.now_s += pause_s
        before = len(folding.lines.texts)
        folding.log(text, level=level)
        if (text, level) not in seen:
            assert folding.lines.texts[-1] == text
            assert len(folding.lines.texts) > before
        seen.add((text, level))
    folding.handler.close()
    assert counted(folding.lines.texts) == len(script)


@given(st.lists(st.floats(0, 10.0), min_size=1, max_size=100))
def test_one_fault_makes_at_most_two_lines_per_window(pauses_s: list[float]) -> None:
    folding = Folding()
    started_s = folding.now_s
    for pause_s in pauses_s:
        folding.now_s += pause_s
        folding.log("no answer")
    folding.handler.close()
    windows = (folding.now_s - started_s) // WINDOW_S + 1
    assert len(folding.lines.texts) <= 2 * windows
