"""``lsm-monitor snapshot``: one picture of a camera, to see whether zones and gauges fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lsm_monitor.capture.probe import probe
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.commands import pictures
from lsm_monitor.config.models import CameraConfig, MonitorConfig
from lsm_monitor.evidence.overlay import draw_overlay
from lsm_monitor.evidence.survey_overlay import Drawing, draw_survey
from lsm_monitor.types import CameraId


def take_snapshot(
    config: MonitorConfig, camera_name: str, out: Path, *, draw_zones: bool
) -> tuple[int, int]:
    """Write one picture of the camera to ``out`` and return its width and height in pixels.

    Raises:
        ConfigError: There is no such camera.
        SourceError: It cannot be opened, or sends no picture.
        PictureError: ``out`` cannot be written.
    """
    camera = config.camera(camera_name)
    spec = SourceSpec.from_config(CameraId(camera_name), camera)
    report = probe(spec, clock=SystemClock())
    picture = report.image
    if draw_zones:
        zones = [zone.points for zone in camera.zones.values()]
        picture = draw_survey(draw_overlay(picture, zones=zones), _survey(camera))
    pictures.write(out, picture)
    return report.size_wh


def _survey(camera: CameraConfig) -> Iterator[Drawing]:
    for gauge in camera.gauges.values():
        for mark in gauge.marks or ():
            label = f"{mark.height_cm:g} cm"
            for spot in mark.points or ():
                yield Drawing((spot,), (label,))
            if mark.line is not None:
                yield Drawing(mark.line, (label,))
        if gauge.staff is not None:
            staff = gauge.staff
            labels = (f"{staff.bottom_cm:g} cm", f"{staff.top_cm:g} cm")
            yield Drawing((staff.bottom, staff.top), labels)
    if camera.ground is not None:
        yield Drawing(camera.ground.points, ("1", "2", "3", "4"), is_ground=True)
