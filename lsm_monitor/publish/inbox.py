"""Where what others publish to us waits: bounded, so that no flood fills our memory.

paho's thread puts, the event loop takes. What does not fit is dropped, newest first, and
counted: who sends faster than commands are obeyed does not get to push out the earlier ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_PAYLOAD_BYTES = 4096
"""The longest command that is read."""
_MAX_TOPIC_CHARACTERS = 512
CAPACITY = 1000


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from the broker, as it came: nothing about it is to be trusted.

    Attributes:
        topic: Any text.
        payload: Any bytes.
        retain: It was published to be kept: it is old, or will be told again for ever.
        correlation: MQTT 5 correlation data, any bytes; ``None`` without.
    """

    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Ears:
    """What a connection listens to, and who hears it.

    Attributes:
        topic_filters: Subscribed to with every connection; empty: none.
        on_message: Called in paho's thread: must be thread-safe and quick, and not raise.
        on_deaf: Called on the event loop when the broker refuses a subscription.
    """

    topic_filters: Sequence[str]
    on_message: Callable[[InboundMessage], None]
    on_deaf: Callable[[], None]


class Inbox:
    """The queue ``commands``. Thread-safe; one task takes.

    Args:
        on_drop: Called for every message that does not fit.
    """

    def __init__(self, on_drop: Callable[[], None]) -> None:
        self._on_drop = on_drop
        self._lock = threading.Lock()
        self._messages: deque[InboundMessage] = deque()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, message: InboundMessage) -> None:
        """Add ``message``, shortened to little more than what is read; never blocks."""
        kept = InboundMessage(
            message.topic[:_MAX_TOPIC_CHARACTERS],
            bytes(message.payload[: MAX_PAYLOAD_BYTES + 1]),
            message.retain,
            None if message.correlation is None else message.correlation[:MAX_PAYLOAD_BYTES],
        )
        with self._lock:
            was_empty = not self._messages
            fits = len(self._messages) < CAPACITY
            if fits:
                self._messages.append(kept)
        if not fits:
            self._on_drop()
        elif was_empty and self._loop is not None:
            # RuntimeError: the event loop is closed, so there is nobody to wake.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._woken.set)

    async def next(self) -> InboundMessage:
        """Return the oldest message; wait for one."""
        self._loop = asyncio.get_running_loop()
        while True:
            # Cleared before looking: what comes after the look sets it again.
            self._woken.clear()
            with self._lock:
                if self._messages:
                    return self._messages.popleft()
            await self._woken.wait()
