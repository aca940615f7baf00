"""Commands, by MQTT or from the page, done: one function for each, one sentence as answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never
from uuid import UUID

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
from lsm_monitor.types import Acknowledgement, CameraId, Feedback


class Obedience:
    """Does what it is told; :meth:`obey` belongs to the event loop.

    Attributes:
        on_told: Called, with an episode, after somebody has said something about it.

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
        self.on_told: Callable[[UUID], None] = lambda _: None

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
            case SetEnabled() | SetMode() | SetProfile() | SetContext():
                return str(self._settings.set(command))
            case Feedback():
                return await self._store(command)
            case Acknowledgement():
                return await self._acknowledge(command)
            case _:
                assert_never(command)

    async def _acknowledge(self, acknowledgement: Acknowledgement) -> str:
        if not await asyncio.to_thread(self._outbox.acknowledge, acknowledgement):
            raise _no_event(acknowledgement.event_id)
        self.on_told(acknowledgement.event_id)
        return "acknowledged"

    async def _store(self, feedback: Feedback) -> str:
        if not await asyncio.to_thread(self._outbox.add_feedback, feedback):
            raise _no_event(feedback.event_id)
        self.on_told(feedback.event_id)
        return "stored"


def _no_event(event_id: UUID) -> CommandError:
    return CommandError(f"there is no event {event_id}, or no longer")
