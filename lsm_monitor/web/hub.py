"""News for the pages that are open: told once, shared by all, and never waited for.

Each page has a queue of its own, ``stream``. It holds the newest of each thing, so a page that
reads slowly misses what lay between and never grows. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from lsm_monitor.metrics import Metrics

MAX_CLIENTS = 64
_CAPACITY = 4096
"""Things a page may have to be told at once: cameras, open episodes and those that closed."""
Key = tuple[str, str]


class Client:
    """The queue of one page."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._news: OrderedDict[Key, bytes] = OrderedDict()
        self._woken = asyncio.Event()
        self.is_closed = False

    def put(self, key: Key, message: bytes) -> None:
        """Add ``message`` in the place of an older one about the same thing."""
        if self._news.pop(key, None) is not None:
            self._metrics.stream_dropped.labels("coalesced").inc()
        elif len(self._news) >= _CAPACITY:
            self._news.popitem(last=False)
            self._metrics.stream_dropped.labels("full").inc()
        self._news[key] = message
        self._woken.set()

    def close(self) -> None:
        """End it; whoever waits for news is woken."""
        self.is_closed = True
        self._woken.set()

    async def next(self, timeout_s: float) -> bytes:
        """Return all that has come, or nothing after ``timeout_s`` and once it is closed."""
        if not self._news and not self.is_closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._woken.wait()
            except TimeoutError:
                return b""
        self._woken.clear()
        news = b"".join(self._news.values())
        self._news.clear()
        return news


class Hub:
    """Tells every page.

    Args:
        metrics: Counts pages and what they miss.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._clients: set[Client] = set()

    def has_room(self) -> bool:
        """Return whether another page may be told; ask it first, a refusal is counted."""
        if len(self._clients) < MAX_CLIENTS:
            return True
        self._metrics.stream_dropped.labels("refused").inc()
        return False

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Yield the queue of another page."""
        client = Client(self._metrics)
        self._clients.add(client)
        self._metrics.stream_clients.set(len(self._clients))
        try:
            yield client
        finally:
            self._clients.discard(client)
            self._metrics.stream_clients.set(len(self._clients))

    def tell(self, event: str, about: str, data: bytes) -> None:
        """Tell every page ``data``, one line of JSON, about the thing called ``about``."""
        if not self._clients:
            return
        message = sse_event(event, data)
        for client in self._clients:
            client.put((event, about), message)

    def close(self) -> None:
        """End every page's stream."""
        for client in self._clients:
            client.close()


def sse_event(event: str, data: bytes) -> bytes:
    """Return a server-sent event; ``data`` has no line break."""
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
