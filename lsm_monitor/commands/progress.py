"""How far the files of a long command are: bars on stderr, if that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

Advance = Callable[[int, float, float | None], None]
"""Takes a file's number, how far it is and how long it is, in seconds; ``None``: unknown."""


@contextlib.contextmanager
def progress_bars(names: Sequence[str]) -> Iterator[Advance]:
    """Yield what moves the bar of one of the files; bars appear as files are begun."""
    if not sys.stderr.isatty():
        yield lambda _index, _at_s, _length_s: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import Progress, TaskID  # noqa: PLC0415

    # What rich redirects goes to its console: results in a file or a pipe must not.
    bars = Progress(
        console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()
    )
    with bars as progress:
        tasks: dict[int, TaskID] = {}

        def advance(index: int, at_s: float, length_s: float | None) -> None:
            if index not in tasks:
                tasks[index] = progress.add_task(names[index].replace("[", "\\["), total=None)
            progress.update(tasks[index], completed=at_s, total=length_s)

        yield advance
