"""When the daemon may call itself ready: once it is known to see, or known why it cannot.

systemd starts what depends on this service after ``READY=1``, and an upgrade that is ready
but blind is a bad upgrade. So ready means: the model is warm and the first picture has been
judged. Cameras that cannot be reached must not keep a start from succeeding, because a
restart cannot help them: when every camera has failed, or after a bounded wait, the daemon is
ready, too, and says what it lacks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.systemd import Notifier

logger = logging.getLogger(__name__)

_LIMIT_S = 60.0


class Readiness:
    """A service that ends when the daemon is ready.

    Args:
        overview: Told by capture and inference.
        notifier: Tells systemd.
        on_ready: Called once, after systemd is told.
        limit_s: Longest wait for the first decision.
    """

    name = "readiness"

    def __init__(
        self,
        overview: Overview,
        *,
        notifier: Notifier,
        on_ready: Callable[[], None] = lambda: None,
        limit_s: float = _LIMIT_S,
    ) -> None:
        self._overview = overview
        self._notifier = notifier
        self._on_ready = on_ready
        self._limit_s = limit_s

    async def run(self) -> None:
        """Wait, tell systemd, and return."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():  # a capture thread may outlive the loop
                loop.call_soon_threadsafe(changed.set)

        self._notifier.status("waiting for the first picture")
        try:
            with self._overview.telling(wake):
                async with asyncio.timeout(self._limit_s):
                    while not self._is_known():
                        await changed.wait()
                        changed.clear()
        except TimeoutError:
            logger.warning(
                "no picture was judged within %g s; going on without: %s",
                self._limit_s,
                ", ".join(self._overview.undecided()),
            )
        self._notifier.ready()
        self._notifier.status(self.summary())
        self._on_ready()

    def summary(self) -> str:
        """Return one line for ``systemctl status``."""
        cameras = self._overview.cameras().values()
        deciding = sum(camera.is_decided for camera in cameras)
        return f"watching {len(cameras)} cameras, {deciding} of them judged"

    def _is_known(self) -> bool:
        return self._overview.any_decided() or not self._overview.undecided()
