"""Feeds hostile inputs to a parser and watches what it must never do.

A case fails when the parser raises anything but the errors it promises, takes longer than its
limit, writes outside its folder, starts a program or unpickles. The last three are seen by an
audit hook of the interpreter, which no library can go around.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.fuzz.mutate import mutate

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATH_EVENTS = {
    "os.chmod": (0,), "os.chown": (0,), "os.link": (0, 1), "os.mkdir": (0,), "os.remove": (0,),
    "os.rename": (0, 1), "os.rmdir": (0,), "os.symlink": (0, 1), "os.truncate": (0,),
    "os.utime": (0,), "shutil.rmtree": (0,), "sqlite3.connect": (0,),
}  # fmt: skip
_NEVER = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")


@dataclass(frozen=True, slots=True)
class Target:
    """A parser that hostile bytes can reach.

    Attributes:
        name: One word.
        seeds: Good inputs.
        run: Parses one input.
        allowed: The errors that ``run`` promises.
        words: What means something to the parser.
        limit_s: Longest time for one input; generous, because machines are shared.
    """

    name: str
    seeds: Sequence[bytes]
    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    words: Sequence[bytes] = ()
    limit_s: float = 20.0


@dataclass(slots=True)
class Report:
    """What came of one target's cases."""

    name: str
    cases: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    wall_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, int] = field(default_factory=dict)

    def fail(self, what: str, number: int) -> None:
        """Count a failure and keep its first case."""
        self.failures[what] += 1
        self.examples.setdefault(what, number)


class BrokenPromiseError(AssertionError):
    """A parser did what it must not do, such as to let a credential out."""


class TimeLimitError(BaseException):
    """A case took too long; no parser may catch it."""


def case_of(target: Target, seed: int, number: int) -> bytes:
    """Return the ``number``-th input of a target."""
    if number < len(target.seeds):
        return target.seeds[number]
    rng = random.Random(f"{seed}/{target.name}/{number}")  # noqa: S311 - not for secrets
    return mutate(rng, target.seeds, target.words)


def fuzz(
    target: Target, *, numbers: range, seed: int, folder: Path, budget_s: float = float("inf")
) -> Report:
    """Run cases until they are over or the time is.

    Args:
        target: What to feed.
        numbers: Which cases.
        seed: Which series of cases.
        folder: The only place where files may be changed.
        budget_s: Stop after so long.
    """
    report = Report(target.name)
    started_s = time.monotonic()
    with _watched(folder) as violations, _alarms():
        for number in numbers:
            case_s = _run_case(target, case_of(target, seed, number), number, report)
            report.slowest_s = max(report.slowest_s, case_s)
            for violation in violations:
                report.fail(violation, number)
            violations.clear()
            if time.monotonic() - started_s > budget_s:
                break
    report.wall_s = time.monotonic() - started_s
    return report


def _run_case(target: Target, data: bytes, number: int, report: Report) -> float:
    started_s = time.monotonic()
    report.cases += 1
    signal.setitimer(signal.ITIMER_REAL, target.limit_s)
    try:
        target.run(data)
    except target.allowed:
        report.refused += 1
    except TimeLimitError:
        report.fail(f"no answer within {target.limit_s:g} s", number)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is what we look for
        report.fail(_describe(exc), number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    return time.monotonic() - started_s


def _describe(exc: Exception) -> str:
    """Return kind and place of an error: two of a kind are one finding."""
    frames = traceback.extract_tb(exc.__traceback__)
    ours = [frame for frame in frames if "lsm_" in frame.filename] or frames
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(exc).__name__} at {place}: {str(exc)[:100]!r}"


@contextmanager
def _alarms() -> Iterator[None]:
    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


_watch: tuple[str, list[str]] | None = None
_is_hooked = False


@contextmanager
def _watched(folder: Path) -> Iterator[list[str]]:
    """Yield the list that gets what must not happen, while the context lasts."""
    global _watch, _is_hooked  # noqa: PLW0603 - an audit hook cannot be taken away again
    if not _is_hooked:
        sys.addaudithook(_audit)
        _is_hooked = True
    violations: list[str] = []
    _watch = (os.path.realpath(folder), violations)
    try:
        yield violations
    finally:
        _watch = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:  # Any: an event's arguments vary
    if _watch is None:
        return
    folder, violations = _watch
    if event in _NEVER:
        violations.append(f"{event} {arguments!r:.100}")
    elif event == "open":
        path, _mode, flags = arguments
        if isinstance(flags, int) and flags & _WRITES and not isinstance(path, int):
            _check_path(path, folder, violations)
    elif event in _PATH_EVENTS:
        for index in _PATH_EVENTS[event]:
            _check_path(arguments[index], folder, violations)


def _check_path(path: object, folder: str, violations: list[str]) -> None:
    if isinstance(path, (str, bytes, os.PathLike)):
        text = os.fsdecode(path)
        if text.startswith("file:"):  # SQLite's way to say how it is opened
            text = unquote(urlsplit(text).path)
        real = os.path.realpath(text)
        if real != "/dev/null" and not real.startswith(folder):
            violations.append(f"writes outside its folder: {real!r:.100}")
