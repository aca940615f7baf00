"""What is drawn into a camera's picture, from the configuration to what reads a mask by it."""

from __future__ import annotations

from dataclasses import dataclass

from lsm_monitor.config.gauges import GaugeConfig
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.geometry import Ground
from lsm_monitor.types import ZoneId
from lsm_monitor.water.gauges import Gauge, Mark, along, staff_marks
from lsm_monitor.water.zones import Zone, zones_of


@dataclass(frozen=True, slots=True)
class Drawn:
    """Zones, at least one, gauges, and the plane of the road where it is known."""

    zones: tuple[Zone, ...]
    gauges: tuple[Gauge, ...]
    ground: Ground | None


def drawn_of(camera: CameraConfig) -> Drawn:
    """Return what the configuration describes."""
    return Drawn(
        zones=zones_of(
            {name: zone.points for name, zone in camera.zones.items()},
            of_road=camera.zones_of_road,
        ),
        gauges=tuple(
            _gauge(name, ZoneId(camera.zone_of(name, gauge)), gauge)
            for name, gauge in camera.gauges.items()
        ),
        ground=camera.ground.ground() if camera.ground is not None else None,
    )


def _gauge(name: str, zone_id: ZoneId, gauge: GaugeConfig) -> Gauge:
    if gauge.staff is not None:
        staff = gauge.staff
        ends_cm = (staff.bottom_cm, staff.top_cm)
        return Gauge(name, zone_id, staff_marks((staff.bottom, staff.top), ends_cm))
    marks = tuple(
        Mark(mark.points or along(mark.line or ()), mark.height_cm)
        for mark in gauge.marks or ()
    )
    return Gauge(name, zone_id, marks)
