"""What is known about every camera now: for the HTTP port, the gauges and start-up.

MQTT tells each change once; this keeps the newest of everything, so that somebody who asks
gets an answer. Told from capture and inference threads, read from the event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from lsm_monitor.metrics import Metrics
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    HealthState,
    WaterLevel,
    WaterState,
    ZoneId,
)

_BLIND = frozenset({HealthState.UNUSABLE, HealthState.OFFLINE})


@dataclass(frozen=True, slots=True)
class CameraOverview:
    """One camera now.

    Attributes:
        interval_s: Time between two judged pictures, as configured.
        health: As told last.
        zones: Newest state of each zone; empty before the first.
    """

    interval_s: float
    health: CameraHealth
    zones: Mapping[ZoneId, WaterState] = field(default_factory=dict)

    @property
    def is_decided(self) -> bool:
        """Whether a picture has decided what is believed now about at least one zone."""
        # A restart gives an open episode's level back before anything was seen.
        return any(
            state.level is not WaterLevel.UNKNOWN and state.observed_at is not None
            for state in self.zones.values()
        )

    @property
    def observed_at(self) -> datetime | None:
        """When the newest usable picture was taken, or ``None`` before the first."""
        return max((s.observed_at for s in self.zones.values() if s.observed_at), default=None)


class Overview:
    """The newest health and states of all cameras, and the gauges that show them. Thread-safe.

    Args:
        metrics: Gets the gauges.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._cameras: dict[CameraId, CameraOverview] = {}
        self._listeners: list[Callable[[], None]] = []

    def watch(self, interval_s: Mapping[CameraId, float], now: datetime) -> None:
        """Replace the set of watched cameras; what is known about those that stay is kept.

        Args:
            interval_s: Time between two judged pictures of each camera.
            now: Since when new cameras are starting, timezone-aware UTC.
        """
        with self._lock:
            before, self._cameras = self._cameras, {}
            for camera_id, interval in interval_s.items():
                known = before.pop(camera_id, None)
                starting = CameraHealth(camera_id, HealthState.STARTING, (), "", now, 0)
                self._cameras[camera_id] = (
                    CameraOverview(interval, starting)
                    if known is None
                    else replace(known, interval_s=interval)
                )
        for camera_id in before:
            self._metrics.forget_camera(camera_id)
        self._tell()

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have ``listener`` called after each change, by the thread that brought it."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def on_health(self, health: CameraHealth) -> None:
        """Remember the health of a camera; one that is not watched any more is left out."""
        with self._lock:
            known = self._cameras.get(health.camera_id)
            if known is None:
                return
            self._cameras[health.camera_id] = replace(known, health=health)
            for code in {*known.health.codes, *health.codes}:
                gauge = self._metrics.camera_health.labels(health.camera_id, code)
                gauge.set(code in health.codes)
        self._tell()

    def on_states(self, states: Sequence[WaterState]) -> None:
        """Remember the states of one camera's zones: all that it has."""
        with self._lock:
            known = self._cameras.get(states[0].camera_id) if states else None
            zones = {state.zone_id: state for state in states}
            if known is None or known.zones == zones:  # most ticks of most cameras
                return
            for state in states:
                self._show(state, known.zones.get(state.zone_id))
            for zone_id in known.zones.keys() - zones.keys():
                self._metrics.forget_zone(states[0].camera_id, zone_id)
            self._cameras[states[0].camera_id] = replace(known, zones=zones)
        self._tell()

    def cameras(self) -> dict[CameraId, CameraOverview]:
        """Return every watched camera."""
        with self._lock:
            return dict(self._cameras)

    def undecided(self) -> list[CameraId]:
        """Return the cameras of which it is not known yet whether they can be judged."""
        return [
            camera_id
            for camera_id, camera in self.cameras().items()
            if not camera.is_decided and camera.health.state not in _BLIND
        ]

    def any_decided(self) -> bool:
        """Return whether at least one camera is judged now."""
        return any(camera.is_decided for camera in self.cameras().values())

    def _tell(self) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def _show(self, state: WaterState, before: WaterState | None) -> None:
        metrics, names = self._metrics, (state.camera_id, state.zone_id)
        fraction = state.water_fraction
        metrics.zone_water_ratio.labels(*names).set(
            float("nan") if fraction is None else fraction
        )
        if before is not None and before.level is not state.level:
            metrics.zone_level.labels(*names, before.level).set(0)
        metrics.zone_level.labels(*names, state.level).set(1)
        if state.observed_at is not None:
            metrics.last_frame_at.labels(state.camera_id).set(state.observed_at.timestamp())
