"""Threads of the page's own, for what may wait: the disk, pictures, packing.

The event loop's shared threads carry alerts from the outbox to the broker. However many people
look, and however slow the disk answers them, those stay free.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 4


class Workers:
    """Runs functions for the event loop, a few at a time, in the order they come.

    What waits is bounded by the number of connections to the port: each waits for its answer.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="page")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``function`` does."""
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
