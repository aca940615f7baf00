"""Every camera as the page shows it, put together once per change and shared by all pages.

Belongs to the event loop; waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lsm_monitor.clock import Clock
from lsm_monitor.config.models import CameraConfig, MonitorConfig
from lsm_monitor.history.tiers import Reading
from lsm_monitor.publish.payloads import severity_of, worst_state
from lsm_monitor.runtime.overview import CameraOverview, Overview
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    HealthState,
    NextLevel,
    WaterLevel,
    WaterState,
    WaterTrend,
)
from lsm_monitor.web.gallery import Gallery
from lsm_monitor.web.hub import Hub
from lsm_monitor.web.models import (
    CameraDetail,
    Card,
    Depth,
    Geometry,
    HealthAnswer,
    Location,
    NextLevelAnswer,
    TrendAnswer,
    ZoneCard,
)
from lsm_monitor.web.spark import Sparks


@dataclass(frozen=True, slots=True)
class _Sources:
    """What a card is made of: equal sources make equal cards."""

    camera: CameraConfig
    known: CameraOverview | None
    picture: str | None
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Built:
    sources: _Sources
    card: Card
    json: bytes


class Wall:
    """The cards of all cameras.

    Args:
        overview: Knows every watched camera.
        config: Returns the configuration that holds now.
        gallery: Has the pictures.
        hub: Told every card that changed.
        clock: Time.
    """

    def __init__(
        self,
        *,
        overview: Overview,
        config: Callable[[], MonitorConfig],
        gallery: Gallery,
        hub: Hub,
        clock: Clock,
    ) -> None:
        self._overview = overview
        self._config = config
        self._gallery = gallery
        self._hub = hub
        self._clock = clock
        self._sparks = Sparks()
        self._started_at = clock.now()
        self._built: dict[CameraId, _Built] = {}
        self._recalled: set[CameraId] = set()

    def refresh(self, open_episodes: Mapping[CameraId, tuple[str, ...]]) -> None:
        """Put together what has changed, and tell it.

        Args:
            open_episodes: Ids of the open episodes of each camera that has any.
        """
        cameras, now = self._config().cameras, self._clock.now()
        overview, pictures = self._overview.cameras(), self._gallery.versions()
        before, self._built = self._built, {}
        for name, camera in cameras.items():
            camera_id = CameraId(name)
            known = overview.get(camera_id)
            sources = _Sources(
                camera, known, pictures.get(camera_id), open_episodes.get(camera_id, ())
            )
            built = before.pop(camera_id, None)
            if built is None or built.sources != sources or camera_id in self._recalled:
                self._note_fraction(camera_id, known)
                card = self._card(camera_id, sources, now)
                built = _Built(sources, card, card.model_dump_json().encode())
                self._hub.tell("camera", camera_id, built.json)
            self._built[camera_id] = built
        self._recalled.clear()
        for camera_id in before:
            self._hub.tell("gone", camera_id, b'{"id":"' + camera_id.encode() + b'"}')
        if before:
            self._sparks.keep_only(frozenset(self._built))
            self._gallery.keep_only(self._built.keys())

    def recall(self, camera_id: CameraId, readings: Iterable[Reading]) -> None:
        """Show what was read before the start in the camera's curve."""
        self._sparks.recall(camera_id, readings)
        self._recalled.add(camera_id)

    def all_json(self) -> bytes:
        """Return every card as JSON; see :class:`lsm_monitor.web.models.CameraList`."""
        cards = b",".join(built.json for built in self._built.values())
        return b'{"cameras":[' + cards + b"]}"

    def has(self, camera_id: str) -> bool:
        """Return whether there is such a camera."""
        return camera_id in self._built

    def detail(self, camera_id: str) -> CameraDetail | None:
        """Return a camera with what is drawn into its picture; ``None``: there is none."""
        built = self._built.get(CameraId(camera_id))
        if built is None:
            return None
        return CameraDetail(**dict(built.card), geometry=_geometry(built.sources.camera))

    def _note_fraction(self, camera_id: CameraId, known: CameraOverview | None) -> None:
        worst = _worst(known)
        if worst is not None and worst.water_fraction is not None and worst.observed_at:
            self._sparks.add(camera_id, worst.observed_at, min(1.0, worst.water_fraction))

    def _card(self, camera_id: CameraId, sources: _Sources, now: datetime) -> Card:
        camera, known = sources.camera, sources.known
        health = known.health if known else _not_watched(camera_id, self._started_at)
        worst = _worst(known)
        return Card(
            id=camera_id,
            title=camera.title or camera_id,
            location=_location(camera),
            group=camera.group,
            enabled=camera.enabled,
            interval_s=known.interval_s if known else camera.interval_s,
            level=worst.level if worst else WaterLevel.UNKNOWN,
            severity=severity_of(worst.level) if worst else None,
            since=worst.since if worst else health.since,
            water_fraction=_share(worst.water_fraction) if worst else None,
            area_m2=worst.area_m2 if worst else None,
            depth=_depth(worst) if worst else None,
            trend=_trend(worst.trend) if worst else None,
            health=HealthAnswer(
                state=health.state,
                codes=[str(code) for code in health.codes],
                notes=[str(note) for note in health.notes],
                detail=health.detail,
                since=health.since,
            ),
            observed_at=known.observed_at if known else None,
            picture=sources.picture,
            zones={state.zone_id: _zone(state) for state in _states(known)},
            spark=self._sparks.of(camera_id, now),
            events=list(sources.events),
        )


def _states(known: CameraOverview | None) -> Sequence[WaterState]:
    return () if known is None else tuple(known.zones.values())


def _worst(known: CameraOverview | None) -> WaterState | None:
    states = _states(known)
    return worst_state(states) if states else None


def _not_watched(camera_id: CameraId, since: datetime) -> CameraHealth:
    return CameraHealth(camera_id, HealthState.OFFLINE, (), "not watched", since, 0)


def _location(camera: CameraConfig) -> Location | None:
    where = camera.location
    return None if where is None else Location(lat=where.lat, lon=where.lon)


def _zone(state: WaterState) -> ZoneCard:
    return ZoneCard(
        level=state.level,
        severity=severity_of(state.level),
        water_fraction=_share(state.water_fraction),
        confidence=_share(state.confidence),
        depth=_depth(state),
        area_m2=state.area_m2,
        trend=_trend(state.trend),
        since=state.since,
        observed_at=state.observed_at,
    )


def _share(value: float | None) -> float | None:
    """Return a share as precisely as it is known; sums of floats may be a hair over 1."""
    return None if value is None else round(min(1.0, max(0.0, value)), 4)


def _depth(state: WaterState) -> Depth | None:
    depth = state.depth
    return None if depth is None else Depth(min_cm=depth.min_cm, max_cm=depth.max_cm)


def _trend(trend: WaterTrend | None) -> TrendAnswer | None:
    if trend is None:
        return None
    return TrendAnswer(
        direction=trend.direction,
        pp_per_min=trend.pp_per_min,
        cm_per_min=trend.cm_per_min,
        m2_per_min=trend.m2_per_min,
        window_s=trend.window_s,
        is_rapid=trend.is_rapid,
        next_level=_next_level(trend.next_level),
    )


def _next_level(coming: NextLevel | None) -> NextLevelAnswer | None:
    if coming is None:
        return None
    return NextLevelAnswer(
        level=coming.level, eta_s_min=coming.eta_s_min, eta_s_max=coming.eta_s_max
    )


def _geometry(camera: CameraConfig) -> Geometry:
    dumped = camera.model_dump(
        mode="json", include={"gauges", "ground"}, exclude_none=True, exclude_unset=True
    )
    return Geometry(
        zones={name: list(zone.points) for name, zone in camera.zones.items()},
        gauges=dumped.get("gauges", {}),
        ground=dumped.get("ground"),
    )
