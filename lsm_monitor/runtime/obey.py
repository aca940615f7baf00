"""Commands that came by MQTT, done: one function per command, one sentence as the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

from lsm_monitor.errors import CommandError
from lsm_monitor.publish.commands import (
    Command,
    Reload,
    SetContext,
    SetEnabled,
    SetMode,
    SetProfile,
    TakeSnapshot,
)
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.runtime.live_settings import LiveSettings
from lsm_monitor.runtime.reload import Reloader
from lsm_monitor.types import CameraId, Feedback


class Obedience:
    """Does what it is told; :meth:`obey` belongs to the event loop.

    Args:
        reloader: Reads the configuration again.
        settings: Holds what is set by command.
        outbox: Stores feedback.
        snapshot: Publishes a picture of a camera.
    """

    def __init__(
        self,
        *,
        reloader: Reloader,
        settings: LiveSettings,
        outbox: Outbox,
        snapshot: Callable[[CameraId], Awaitable[str]],
    ) -> None:
        self._reloader = reloader
        self._settings = settings
        self._outbox = outbox
        self._snapshot = snapshot

    async def obey(self, command: Command) -> str:
        """Do what ``command`` asks for; return what was done, one sentence.

        Raises:
            LsmMonitorError: It cannot be done; the text is the answer.
        """
        match command:
            case Reload():
                return await self._reloader.reload()
            case TakeSnapshot(camera_id):
                return await self._snapshot(camera_id)
            case SetEnabled() | SetMode() | SetContext():
                return str(self._settings.set(command))
            case SetProfile():
                msg = "there are no profiles"
                raise CommandError(msg)
            case Feedback():
                return await self._store(command)
            case _:
                assert_never(command)

    async def _store(self, feedback: Feedback) -> str:
        if not await asyncio.to_thread(self._outbox.add_feedback, feedback):
            msg = f"there is no event {feedback.event_id}, or no longer"
            raise CommandError(msg)
        return "stored"
