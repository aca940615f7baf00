"""Profiles: named settings that an operator lays over a camera's own, by command.

For a night, a storm, a market day. Every profile is tried on every camera when the file is
read, so that a command never finds out that the two do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lsm_monitor.config.document import Location
from lsm_monitor.config.layers import merge
from lsm_monitor.config.models import CameraConfig, CameraDefaults, MonitorConfig

KEYS: Final = frozenset(CameraDefaults.model_fields) - {"water_share_of", "tls_ca_file"}
"""What a profile may say.

What counts as the whole of a zone depends on the model, too; and a path on the folder of the
file, which nobody knows any more when a profile is set.
"""


def with_profile(camera: CameraConfig, profile: Mapping[str, Any]) -> CameraConfig:
    """Return ``camera`` with what ``profile`` says in the place of what it says itself.

    Raises:
        pydantic.ValidationError: The two do not fit; never of a checked file.
    """
    return CameraConfig.model_validate(merge(camera.model_dump(), profile))


def strange_keys(config: MonitorConfig) -> Iterator[Location]:
    """Yield where profiles say what no profile may say."""
    for name, profile in config.profiles.items():
        for key in profile:
            if key not in KEYS and key in CameraConfig.model_fields:
                yield ("profiles", name, key)


def misfits(config: MonitorConfig) -> Iterator[tuple[Location, str, ErrorDetails]]:
    """Yield where a profile does not fit a camera, and that camera; each fault once."""
    for name, profile in config.profiles.items():
        told: set[tuple[Location, str]] = set()
        for camera_id, camera in config.cameras.items():
            try:
                with_profile(camera, profile)
            except ValidationError as exc:
                for error in exc.errors(include_url=False, include_input=False):
                    fault = (("profiles", name, *error["loc"]), error["msg"])
                    if fault not in told:
                        told.add(fault)
                        yield fault[0], camera_id, error
