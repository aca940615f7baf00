"""The configuration, as types.

The file is checked completely before anything is opened. Unknown keys are errors, because a
misspelt key that is ignored looks exactly like a setting that does not work. Every number
carries its unit in its name; a duration may also be written with its unit ("90s", "5m").
Models are pure: checking a file touches neither the network nor the cameras.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from lsm_monitor.config.base import NAME as _NAME
from lsm_monitor.config.base import FilePath, Section
from lsm_monitor.config.cameras import CameraConfig, CameraDefaults, GroupConfig
from lsm_monitor.config.delivery import CapConfig, StoreConfig
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.config.gauges import PlaceConfig
from lsm_monitor.config.levels import LevelConfig, LevelsConfig
from lsm_monitor.config.mqtt import DiscoveryConfig, MqttConfig
from lsm_monitor.config.service import HttpConfig, LoggingConfig, ModelConfig
from lsm_monitor.config.watching import CaptureConfig
from lsm_monitor.config.zones import ZoneConfig
from lsm_monitor.errors import ConfigError

__all__ = [  # the whole configuration can be had from here
    "CameraConfig",
    "CameraDefaults",
    "CapConfig",
    "CaptureConfig",
    "DiscoveryConfig",
    "EvidenceConfig",
    "GroupConfig",
    "HttpConfig",
    "LevelConfig",
    "LevelsConfig",
    "LoggingConfig",
    "ModelConfig",
    "MonitorConfig",
    "MqttConfig",
    "StoreConfig",
    "ZoneConfig",
]


def _for_editors(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema, too, what only the loader checks.

    The cameras may all stand in an inventory, and a profile is a part of ``defaults``.
    """
    schema["required"].remove("cameras")
    schema["anyOf"] = [{"required": ["cameras"]}, {"required": ["inventory"]}]
    properties = schema["properties"]
    profile = {"$ref": properties["defaults"]["$ref"]}
    properties["profiles"]["patternProperties"] = {_NAME: profile}


class MonitorConfig(Section):
    """One configuration file."""

    model_config = ConfigDict(json_schema_extra=_for_editors)

    version: Literal[1] = Field(description="Version of this file format.")
    site: Annotated[str, Field(pattern=_NAME)] = Field(
        description="Name of the installation; part of every topic."
    )
    state_dir: FilePath | None = Field(
        default=None,
        description="Where the outbox lives. Default: $STATE_DIRECTORY (systemd), for root "
        "/var/lib/lsm-monitor, else ~/.local/state/lsm-monitor.",
    )
    reload_on_change: bool = Field(
        default=True,
        description="Take over a change of this file, or of the inventory, as soon as it is "
        "saved and has no problem. SIGHUP does so in any case.",
    )
    mqtt: MqttConfig
    store: StoreConfig = StoreConfig()
    cap: CapConfig | None = Field(default=None, description="Default: no CAP.")
    evidence: EvidenceConfig = EvidenceConfig()
    model: ModelConfig = ModelConfig()
    http: HttpConfig = HttpConfig()
    logging: LoggingConfig = LoggingConfig()
    capture: CaptureConfig = CaptureConfig()
    defaults: CameraDefaults = CameraDefaults()
    groups: dict[Annotated[str, Field(pattern=_NAME)], GroupConfig] = Field(
        default={}, description="Settings that some cameras share: over 'defaults'."
    )
    profiles: dict[Annotated[str, Field(pattern=_NAME)], dict[str, Any]] = Field(
        default={},
        description="Keys of 'defaults', over a camera's own once its 'profile' is set to this "
        "name by command.",
    )
    inventory: tuple[FilePath, ...] = Field(
        default=(),
        description="More cameras: CSV files, YAML files with 'cameras', folders of both.",
    )
    cameras: dict[Annotated[str, Field(pattern=_NAME)], CameraConfig] = Field(
        description="Every camera, by its id; may be left out beside an inventory.",
        min_length=1,
    )
    places: dict[Annotated[str, Field(pattern=_NAME)], PlaceConfig] = Field(
        default={}, description="Cameras that look at the same road and vouch for each other."
    )

    @field_validator("profiles")
    @classmethod
    def _default_is_no_profile(cls, profiles: dict[str, object]) -> dict[str, object]:
        if "default" in profiles:
            msg = "a profile cannot be called 'default': that word means none"
            raise ValueError(msg)
        return profiles

    @model_validator(mode="after")
    def _places_name_cameras(self) -> Self:
        for name, place in self.places.items():
            unknown = [camera for camera in place.cameras if camera not in self.cameras]
            if unknown:
                msg = f"place {name!r}: there is no camera {unknown[0]!r} in this file"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _blur_hides_something(self) -> Self:
        for name, camera in self.cameras.items():
            if self.evidence.blur == "outside_zones" and not camera.zones:
                msg = (
                    f"evidence.blur: camera {name!r} has no zones, so 'outside_zones' would "
                    "hide nothing of its pictures; draw its zones, or write blur: all"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _areas_are_of_cameras(self) -> Self:
        for name in self.cap.areas if self.cap else ():
            if name not in self.cameras:
                msg = f"cap.areas: there is no camera {name!r}; cameras: {sorted(self.cameras)}"
                raise ValueError(msg)
        return self

    def camera(self, name: str) -> CameraConfig:
        """Return the camera called ``name``.

        Raises:
            ConfigError: There is none; the text names those that may be meant.
        """
        if name in self.cameras:
            return self.cameras[name]
        close = difflib.get_close_matches(name, self.cameras, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "see: lsm-monitor cameras ls"
        msg = f"there is no camera {name!r}; {hint}"
        raise ConfigError(msg)

    def trigger_of(self, camera: CameraConfig) -> str | None:
        """Return the trigger that moves ``camera`` to its fast interval, if there is one."""
        group = self.groups.get(camera.group or "")
        return None if group is None else group.trigger
