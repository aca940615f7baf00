"""A small city behind the real page: rendered streets, some of them under water.

Everything from the HTTP port inwards is the daemon's own, up to the outbox and the gallery;
what the model would have said about a picture is taken from the renderer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from uuid_utils.compat import uuid7

from lsm_monitor.demo.scene import Image, Mask, StreetScene
from lsm_monitor.demo.scene_style import SceneStyle, random_style
from lsm_monitor.evidence.pictures import pictures_of
from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.payloads import Provenance
from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    DepthInterval,
    Episode,
    EventKind,
    EvidenceWindow,
    Frame,
    FrameStamp,
    HealthCode,
    HealthState,
    ModelIdentity,
    ReasonCode,
    Trend,
    WaterEvent,
    WaterLevel,
    WaterMask,
    WaterState,
    WaterTrend,
    ZoneId,
)
from lsm_monitor.web.models import Role
from lsm_monitor.web.passwords import hashed
from lsm_monitor.web.users import User, write_users
from tests.web_daemon import SQUARE, WebDaemon

LANE = ZoneId("lane")
PASSWORD = "correct horse battery"
EVIL = "<img src=x onerror=alert(1)>"
_READINGS = 240
_FRACTIONS = {
    WaterLevel.SEVERE: 0.62,
    WaterLevel.FLOODED: 0.34,
    WaterLevel.PONDING: 0.12,
    WaterLevel.WET: 0.03,
    WaterLevel.DRY: 0.004,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A camera of the city.

    Attributes:
        title: Its name for people.
        level: What its zone is at.
        scene: Which rendered street it looks at.
        group: Its group.
        where: Latitude and longitude, if known.
    """

    title: str
    level: WaterLevel
    scene: int
    group: str = "streets"
    where: tuple[float, float] | None = None


PLACES: Mapping[str, Place] = {
    "bridge": Place("Bridge Street", WaterLevel.DRY, 3, where=(30.262, 120.171)),
    "harbour": Place("Harbour Road", WaterLevel.PONDING, 1, where=(30.279, 120.128)),
    "market": Place("Old Market", WaterLevel.DRY, 2, where=(30.266, 120.149)),
    "mill": Place("Mill Lane", WaterLevel.UNKNOWN, 3, where=(30.284, 120.162)),
    "quay": Place("River Quay", WaterLevel.WET, 1, where=(30.257, 120.136)),
    "station": Place("Station tunnel", WaterLevel.DRY, 1, "underpasses", (30.270, 120.163)),
    "tram": Place("Tram depot", WaterLevel.DRY, 2),
    "wensan": Place(
        "Wensan underpass", WaterLevel.FLOODED, 0, "underpasses", (30.274, 120.155)
    ),
}


class City(WebDaemon):
    """The page in front of ``PLACES``; a context manager.

    Args:
        folder: Where its files lie.
        with_users: Whether people have to log in: ``ann`` is a viewer, ``wang`` an operator,
            ``root`` an administrator, all with ``PASSWORD``.
        places: Other cameras, in place of the usual ones.
    """

    def __init__(
        self,
        folder: Path,
        *,
        with_users: bool = False,
        places: Mapping[str, Place] = PLACES,
    ) -> None:
        http: dict[str, object] = {}
        if with_users:
            http["users_file"] = str(_users_file(folder))
        super().__init__(
            folder,
            http=http,
            cameras={name: _camera(place) for name, place in places.items()},
        )
        self._places = places
        self._seq: dict[CameraId, int] = {}
        self._episodes: dict[CameraId, Episode] = {}
        for name, place in places.items():
            camera_id = CameraId(name)
            self.look(camera_id)
            self.judge(camera_id, place.level)
            if place.level in {WaterLevel.PONDING, WaterLevel.FLOODED}:
                self.flood(camera_id, place.level)
            self._remember_an_hour(camera_id, place.level)
        self.history.record(_yesterday(CameraId("wensan"), self.clock.now()))
        self.history.flush()

    def look(self, camera_id: CameraId) -> None:
        """Have the camera take another picture."""
        place, now = self._places[camera_id], self.clock.now()
        image, mask = rendered(place.scene, _share(place.level))
        self._seq[camera_id] = self._seq.get(camera_id, 0) + 1
        stamp = FrameStamp(
            camera_id, 1, self._seq[camera_id], None, now, self.clock.monotonic_s()
        )
        self.page.gallery.put(
            Frame(stamp, image), WaterMask(stamp, mask.astype(np.float32), 0.5, 10.0)
        )

    def judge(
        self, camera_id: CameraId, level: WaterLevel, *, age: timedelta = timedelta()
    ) -> WaterState:
        """Say what the camera's zone is at; ``age`` ago."""
        now = self.clock.now() - age
        is_known = level is not WaterLevel.UNKNOWN
        is_alert = _share(level) > 0.05
        state = WaterState(
            camera_id,
            LANE,
            level,
            _FRACTIONS.get(level),
            0.91 if is_known else None,
            since=now - timedelta(minutes=7),
            observed_at=now,
            area_m2=86.4 if is_alert else None,
            depth=DepthInterval(15.0, 25.0, "gauge:kerb") if is_alert else None,
            trend=WaterTrend(
                direction=Trend.RISING if is_alert else Trend.STEADY,
                pp_per_min=3.2,
                cm_per_min=None,
                m2_per_min=None,
                window_s=300.0,
                is_rapid=False,
                next_level=None,
            )
            if is_known
            else None,
        )
        health = CameraHealth(camera_id, HealthState.USABLE, (), "", STARTED, 0)
        if not is_known:
            codes, why = (HealthCode.DARK,), "98 % of the picture is black"
            health = CameraHealth(camera_id, HealthState.UNUSABLE, codes, why, STARTED, 0)
        self.overview.on_health(health)
        self.overview.on_states([state])
        return state

    def flood(self, camera_id: CameraId, level: WaterLevel) -> UUID:
        """Tell of a flood there: a new one, or that an open one is now at ``level``."""
        before = self._episodes.get(camera_id)
        kind = EventKind.UPDATE if before else EventKind.OPEN
        return self._tell(camera_id, level, kind)

    def dry_up(self, camera_id: CameraId) -> UUID:
        """Tell that the open flood there is over."""
        event_id = self._tell(camera_id, WaterLevel.DRY, EventKind.CLOSE)
        del self._episodes[camera_id]
        return event_id

    def _remember_an_hour(self, camera_id: CameraId, level: WaterLevel) -> None:
        for minute in range(60, 0, -1):
            at = self.clock.now() - timedelta(minutes=minute)
            share = _FRACTIONS.get(level, 0.0) * (1.0 - minute / 70.0)
            ripple = 0.004 * (1.0 + math.sin(minute))
            self.page.live._wall._sparks.add(camera_id, at, share + ripple)

    def hang_up(self) -> None:
        """End every page's stream, as a daemon that stops does."""
        loop = self.page.live._loop
        assert loop is not None
        loop.call_soon_threadsafe(self.page.live._hub.close)

    def forget_sessions(self) -> None:
        """Have every session expire."""
        self.page.access.sessions._sessions.clear()

    def _tell(self, camera_id: CameraId, level: WaterLevel, kind: EventKind) -> UUID:
        state, before = self.judge(camera_id, level), self._episodes.get(camera_id)
        now = self.clock.now()
        episode = Episode(
            event_id=before.event_id if before else UUID(bytes=uuid7().bytes),
            camera_id=camera_id,
            zone_id=LANE,
            seq=before.seq + 1 if before else 1,
            level=before.level if before and kind is EventKind.CLOSE else level,
            is_stale=False,
            opened_at=before.opened_at if before else now - timedelta(minutes=7),
            peak_fraction=max(_FRACTIONS[level], before.peak_fraction if before else 0.0),
        )
        event = WaterEvent(
            kind=kind,
            episode=episode,
            state=state,
            previous_level=before.level if before else WaterLevel.DRY,
            observed_at=now,
            closed_at=now if kind is EventKind.CLOSE else None,
            reasons=(ReasonCode.LEVEL_UP,),
            evidence=EvidenceWindow(now - timedelta(minutes=1), now, 6, 6),
        )
        self._keep_evidence(episode, rendered(self._places[camera_id].scene, _share(level)))
        health = self.overview.cameras()[camera_id].health
        self.outbox.record(event, MESSAGES.event(event, health=health, sent_at=now), now=now)
        self._episodes[camera_id] = episode
        self.page.live.wake()
        return episode.event_id

    def _keep_evidence(self, episode: Episode, picture: tuple[Image, Mask]) -> None:
        kept = pictures_of(*picture, zones=[], blur="none")
        files = {
            EvidenceKind.SNAPSHOT: kept.snapshot,
            EvidenceKind.RAW: kept.raw,
            EvidenceKind.MASK: kept.mask,
        }
        self.evidence.put(episode.event_id, episode.seq, files, {})


STARTED = datetime.fromisoformat("2026-07-01T00:00:00Z")
MESSAGES = Messages(
    Topics("lsm/v1", "west"),
    Provenance("west", "1.0", "c3f1a9", ModelIdentity("compact", "1.0", "5f" * 32, "torch")),
)


@functools.cache
def rendered(scene: int, share: float) -> tuple[Image, Mask]:
    """Return a street and where its water is, (H, W, 3) uint8 RGB and (H, W) bool."""
    return _street(scene).render(share, 10.0)


@functools.cache
def _street(scene: int) -> StreetScene:
    return StreetScene(random_style(100 + scene) if scene else SceneStyle())


def _share(level: WaterLevel) -> float:
    wet = {WaterLevel.SEVERE: 0.9, WaterLevel.FLOODED: 0.6, WaterLevel.PONDING: 0.25}
    return wet.get(level, 0.0)


def _camera(place: Place) -> dict[str, object]:
    camera: dict[str, object] = {
        "url": "rtsp://192.0.2.1/s",
        "title": place.title,
        "zones": {LANE: {"points": SQUARE}},
    }
    if place.where:
        camera["location"] = dict(zip(("lat", "lon"), place.where, strict=True))
    return camera


def _users_file(folder: Path) -> Path:
    path = folder / "users.yaml"
    secret = hashed(PASSWORD)
    roles: dict[str, Role] = {"ann": "viewer", "wang": "operator", "root": "admin"}
    write_users(path, {name: User(role=role, password=secret) for name, role in roles.items()})
    return path


def _yesterday(camera_id: CameraId, now: datetime) -> list[WaterState]:
    """Return a day with a flood, and with an hour in which the camera was blind."""
    return [
        _state_then(camera_id, now - timedelta(hours=24 * (1 - i / _READINGS)), i / _READINGS)
        for i in range(_READINGS)
    ]


def _state_then(camera_id: CameraId, at: datetime, share_of_day: float) -> WaterState:
    fraction = 0.45 * max(0.0, math.sin(7 * share_of_day)) ** 3
    if 0.5 < share_of_day < 0.56:
        return WaterState(camera_id, LANE, WaterLevel.UNKNOWN, None, None, at, at)
    depth = DepthInterval(round(40 * fraction), None, "gauge:kerb")
    level = _level_of(fraction)
    return WaterState(camera_id, LANE, level, fraction, 0.9, at, at, depth=depth)


def _level_of(fraction: float) -> WaterLevel:
    bands = ((0.25, WaterLevel.FLOODED), (0.08, WaterLevel.PONDING), (0.02, WaterLevel.WET))
    return next((level for least, level in bands if fraction >= least), WaterLevel.DRY)
