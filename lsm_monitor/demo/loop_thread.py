"""An asyncio event loop in a thread of its own.

The demo's camera and broker are other machines as far as the daemon is concerned, so they
must not share the daemon's event loop: there, a busy daemon would slow its own camera.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines in a thread; used once: ``start``, ``call`` as often as wanted, ``stop``.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], *, timeout_s: float) -> T:  # Any: unused
        """Run ``coroutine`` on the loop and return its result or raise its exception.

        Raises:
            TimeoutError: It took longer than ``timeout_s``; it was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """Cancel every task that is left, close the loop and end the thread.

        Raises:
            TimeoutError: The thread did not end within ``timeout_s``.
        """
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            msg = f"thread {self._name!r} did not end within {timeout_s:g} s"
            raise TimeoutError(msg)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()
