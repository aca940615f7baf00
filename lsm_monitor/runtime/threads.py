"""A blocking loop as a service: one named thread that the event loop can stop.

Capture and inference block in native code, so each runs in a thread of its own. Stopping is
cooperative: cancelling the service sets the thread's stop event and waits for the thread,
which every wait inside it honours. Threads are daemons, so one that hangs in a driver cannot
keep the process from ending; :meth:`ThreadService.run` says so in the log.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class ThreadService:
    """Runs ``body(stop)`` in a thread called ``name``.

    Args:
        name: Name of service and thread, such as ``inference``.
        body: Blocks until it is done or ``stop`` is set. What it raises, ``run`` raises.
        stop_timeout_s: How long a cancelled service waits for its thread to end.
        on_fault: Called in the thread when the body raises, before ``run`` does.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[threading.Event], None],
        *,
        stop_timeout_s: float,
        on_fault: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._body = body
        self._stop_timeout_s = stop_timeout_s
        self._on_fault = on_fault

    async def run(self) -> None:
        """Run the body to its end in a new thread; cancelling stops the thread first."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        stop = threading.Event()
        thread = threading.Thread(
            target=self._enter, args=(stop, loop, done), name=self.name, daemon=True
        )
        thread.start()
        try:
            await asyncio.shield(done)
        finally:
            stop.set()
            if not done.done():
                await asyncio.wait([done], timeout=self._stop_timeout_s)
            if not done.done():
                logger.warning(
                    "%s did not stop within %.0f s; leaving it behind",
                    self.name,
                    self._stop_timeout_s,
                )

    def _enter(
        self,
        stop: threading.Event,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[None],
    ) -> None:
        error: BaseException | None = None
        try:
            self._body(stop)
        except BaseException as exc:  # noqa: BLE001 - not handled here: carried to run()
            error = exc
            self._on_fault()
        try:
            loop.call_soon_threadsafe(_finish, done, error)
        except RuntimeError:
            logger.debug("%s ended after the event loop", self.name)


def _finish(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
