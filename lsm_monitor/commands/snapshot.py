"""``lsm-monitor snapshot``: one picture of a camera, to see whether its zones fit."""

from __future__ import annotations

from pathlib import Path

from lsm_monitor.capture.probe import probe
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.commands import pictures
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.evidence.overlay import draw_overlay
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
    zones = [zone.points for zone in camera.zones.values()] if draw_zones else []
    pictures.write(out, draw_overlay(report.image, zones=zones))
    return report.size_wh
