"""The service that keeps the page up to date: gathers changes, and tells each of them once.

The rest of the daemon only says that something changed, from any thread and as often as it
likes; what it was is found out here, a few times a second at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from uuid import UUID

from lsm_monitor.clock import Clock
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.errors import StoreError
from lsm_monitor.history.history import History
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.types import CameraId
from lsm_monitor.types import Episode as OpenEpisode
from lsm_monitor.web.episodes import Episodes
from lsm_monitor.web.hub import Hub
from lsm_monitor.web.wall import Wall
from lsm_monitor.web.workers import Workers

logger = logging.getLogger(__name__)

_SETTLE_S = 0.3
"""Changes that come within this time are told together."""
_AT_LEAST_EVERY_S = 5.0
"""An event that no camera's state tells of, such as the end of one nobody watches."""
_RECALLED = timedelta(hours=1)
_RECALLED_POINTS = 60
_MAX_SAID = 1000
"""Episodes told again at once: something was said of them, or evidence came; it, too, has no
more than this waiting."""
_MOST_REFUSED = 3
"""After so many refusals a look ends: each may have waited seconds for the disk."""


class LivePage:
    """See :meth:`run`.

    Args:
        wall: Shows the cameras.
        episodes: Shows the episodes.
        hub: Told what changed.
        overview: Says when a camera changed.
        history: Has the readings of before the start.
        config: Returns the configuration that holds now.
        workers: Wait for the disk.
        clock: For the pause between two looks.
    """

    name = "page"

    def __init__(
        self,
        *,
        wall: Wall,
        episodes: Episodes,
        hub: Hub,
        overview: Overview,
        history: History,
        config: Callable[[], MonitorConfig],
        workers: Workers,
        clock: Clock,
    ) -> None:
        self._wall = wall
        self._episodes = episodes
        self._hub = hub
        self._overview = overview
        self._history = history
        self._config = config
        self._workers = workers
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._is_awake = False
        self._said: set[UUID] = set()
        self._open: dict[UUID, OpenEpisode] = {}
        self._untold: dict[UUID, None] = {}  # a set in order: whose turn it is
        self._is_refused = False

    def wake(self) -> None:
        """Say that a camera, its picture or an episode changed; from any thread."""
        if not self._is_awake and self._loop is not None:
            self._is_awake = True  # most of some hundred calls a second end above
            self._call(self._woken.set)

    def on_said(self, event_id: UUID) -> None:
        """Say that somebody acknowledged or judged an episode; on the event loop."""
        if len(self._said) < _MAX_SAID:
            self._said.add(event_id)
        self.wake()

    def on_stored(self, event_id: UUID) -> None:
        """Say that evidence of an episode was stored, late perhaps; from any thread."""
        self._call(functools.partial(self.on_said, event_id))

    def _call(self, function: Callable[[], None]) -> None:
        """Have the event loop call ``function``; without a loop nobody is told anything."""
        if self._loop is not None:
            # It may be closed at any moment: threads that write end after the page.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    async def run(self) -> None:
        """Keep everything up to date until cancelled; then end the pages' streams."""
        is_first_run, self._loop = self._loop is None, asyncio.get_running_loop()
        try:
            with self._overview.telling(self.wake):
                if is_first_run:
                    await self.refresh()  # the cameras at once, their curves when they come
                    await self._recall()
                while True:
                    self._is_awake = False
                    await self.refresh()
                    await self._clock.sleep(_SETTLE_S)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), _AT_LEAST_EVERY_S)
                    self._woken.clear()
        finally:
            self._hub.close()

    async def refresh(self) -> None:
        """Look at everything that may have changed, once."""
        await self._look_at_episodes()
        self._wall.refresh(_by_camera(self._open))

    async def _recall(self) -> None:
        """Go on with the curves of before the start."""
        end = self._clock.now()
        for camera_id in [CameraId(name) for name in self._config().cameras]:
            try:
                zones = await self._workers.run(
                    self._history.readings, camera_id, end - _RECALLED, end, _RECALLED_POINTS
                )
            except StoreError as exc:
                logger.warning("the page's curves begin anew: %s", exc)
                return
            self._wall.recall(camera_id, chain.from_iterable(zones.values()))

    async def _look_at_episodes(self) -> None:
        said, self._said = self._said, set()
        found = await self._workers.run(self._episodes.open_ones)
        before, self._open = self._open, {each.event_id: each for each in found}
        both = before.keys() | self._open.keys()
        changed = {each for each in both if before.get(each) != self._open.get(each)}
        new = sorted((changed | said) - self._untold.keys())
        self._untold = dict.fromkeys([*new, *self._untold])
        # What is open is known by heart; what has ended may have to wait for the disk.
        await self._tell_all(sorted(self._untold, key=lambda each: each not in self._open))

    async def _tell_all(self, event_ids: Sequence[UUID]) -> None:
        """Tell of these; what the disk refuses stays untold, and comes last the next time."""
        refused = 0
        for event_id in event_ids:
            try:
                await self._tell(event_id)
            except StoreError as exc:
                self._untold[event_id] = self._untold.pop(event_id)
                self._note_refusal(exc)
                refused += 1
                if refused == _MOST_REFUSED:
                    return
            else:
                del self._untold[event_id]
        if self._is_refused and not refused:
            self._is_refused = False
            logger.info("the page is told about every episode again")

    def _note_refusal(self, exc: StoreError) -> None:
        if not self._is_refused:
            logger.warning("the page cannot be told about every episode: %s", exc)
        self._is_refused = True

    async def _tell(self, event_id: UUID) -> None:
        episode = await self._workers.run(self._episodes.one, event_id)
        if episode is not None:
            self._hub.tell("episode", str(event_id), episode.model_dump_json().encode())
        elif event_id not in self._open:
            # Neither open nor kept: without this it would stay open on every page.
            data = f'{{"event_id":"{event_id}"}}'.encode()
            self._hub.tell("episode_gone", str(event_id), data)


def _by_camera(episodes: Mapping[UUID, OpenEpisode]) -> dict[CameraId, tuple[str, ...]]:
    ids: dict[CameraId, tuple[str, ...]] = {}
    for event_id, episode in episodes.items():
        ids[episode.camera_id] = (*ids.get(episode.camera_id, ()), str(event_id))
    return ids
