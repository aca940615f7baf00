"""A camera with something else drawn into its picture: can it be, and what would it read?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from lsm_monitor.config.edit_geometry import GEOMETRY_KEYS, Geometry, geometry_in
from lsm_monitor.config.loader import LoadedConfig, text_of
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import ConfigChangedError, ConfigError
from lsm_monitor.runtime.drawn import drawn_of
from lsm_monitor.types import CameraId, FrameStamp, WaterMask, ZoneReading
from lsm_monitor.water.zones import ZoneReader


class Seen(Protocol):
    """A judged picture."""

    @property
    def taken_at(self) -> datetime:
        """When, timezone-aware UTC."""
        ...

    @property
    def water(self) -> npt.NDArray[np.bool_]:
        """Where the model saw water, (h, w)."""
        ...


def redrawn(camera: CameraConfig, geometry: Geometry) -> CameraConfig:
    """Return ``camera`` with another geometry.

    Raises:
        ConfigError: It is not valid; one line per problem.
    """
    kept = {
        key: getattr(camera, key) for key in camera.model_fields_set if key not in GEOMETRY_KEYS
    }
    geometry = with_what_is_not_drawn(camera, geometry)
    try:
        return CameraConfig.model_validate({**kept, **geometry})
    except ValidationError as exc:
        lines = [
            ": ".join(filter(None, (_key_of(each["loc"]), text_of(each))))
            for each in exc.errors(include_url=False, include_input=False)
        ]
        raise ConfigError("\n".join(lines)) from None


def with_what_is_not_drawn(
    camera: CameraConfig, geometry: Geometry, renamed: Mapping[str, str] = MappingProxyType({})
) -> Geometry:
    """Return ``geometry`` with what ``camera`` says of its zones beside their outlines.

    Args:
        camera: The camera as it is.
        geometry: What is drawn.
        renamed: New names of zones, and their old ones.
    """
    if not geometry.get("zones"):
        return geometry
    said = {
        name: zone.model_dump(exclude_unset=True, exclude={"points"})
        for name, zone in camera.zones.items()
    }
    zones = {
        name: {**said.get(renamed.get(name, name), {}), **zone}
        for name, zone in geometry["zones"].items()
    }
    return {**geometry, "zones": zones}


def _key_of(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "[key]")


def expect_base(loaded: LoadedConfig, camera_id: str, base: Geometry) -> None:
    """Raise :class:`ConfigChangedError` if the file has another geometry than ``base``."""
    path, camera = loaded.file_of(camera_id), loaded.config.cameras[camera_id]
    begun, now = (
        redrawn(camera, each).model_dump(include=set(GEOMETRY_KEYS))
        for each in (base, geometry_in(path, camera_id))
    )
    if begun != now:
        msg = f"{path.name}: somebody else has drawn {camera_id!r} anew meanwhile"
        raise ConfigChangedError(msg)


def readings_of(
    camera_id: CameraId, camera: CameraConfig, seen: Seen
) -> tuple[ZoneReading, ...]:
    """Return what ``seen`` says about each zone of ``camera``."""
    drawn = drawn_of(camera)
    water = seen.water.astype(np.float32)
    # One picture, taken at its word: what the filter makes of many needs many.
    stamp = FrameStamp(camera_id, 0, 0, None, seen.taken_at, 0.0)
    mask = WaterMask(stamp, probability=water, threshold=0.5, inference_ms=0.0)
    reader = ZoneReader(drawn.zones, gauges=drawn.gauges, ground=drawn.ground)
    return reader.read(mask, water)
