"""The configuration, as types.

The file is checked completely before anything is opened. Unknown keys are errors, because a
misspelt key that is ignored looks exactly like a setting that does not work. Every number
carries its unit in its name; a duration may also be written with its unit ("90s", "5m").
Models are pure: checking a file touches neither the network nor the cameras.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lsm_monitor.config.base import NAME as _NAME
from lsm_monitor.config.base import FilePath, Seconds, Section
from lsm_monitor.config.base import beside_the_file as _beside_the_file
from lsm_monitor.config.delivery import CapConfig, StoreConfig
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.config.gauges import GaugeConfig, GroundConfig, PlaceConfig, TrendConfig
from lsm_monitor.config.levels import LevelConfig, LevelsConfig
from lsm_monitor.config.mqtt import DiscoveryConfig, MqttConfig
from lsm_monitor.config.service import HttpConfig, LoggingConfig, ModelConfig
from lsm_monitor.config.watching import CaptureConfig, WatchSettings
from lsm_monitor.config.zones import ShareOf, ZoneConfig
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

_CREDENTIALS_IN_URL = "write user and password as 'username' and 'password', not in the URL"
SOURCE_SCHEMES = ("rtsp", "rtsps", "http", "https")
DEVICE_PREFIX = "v4l2:"
HwAccel = Literal["none", "auto", "cuda", "qsv", "drm", "amf", "vaapi"]


class LocationConfig(Section):
    """A place on the map, WGS 84."""

    lat: float = Field(ge=-90.0, le=90.0, description="Latitude in degrees, north positive.")
    lon: float = Field(ge=-180.0, le=180.0, description="Longitude, east positive.")


class CameraDefaults(WatchSettings):
    """What every camera has unless it says otherwise; ``defaults`` in the file."""

    interval_s: Seconds = Field(default=10.0, description="Time between two judged pictures.")
    decode: Literal["keyframes", "all"] = Field(
        default="keyframes",
        description="'keyframes' decodes only those, about 11 times cheaper; 'all' is for "
        "cameras whose key frames are further apart than 'interval_s'.",
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="RTSP transport.")
    tls_verify: bool = Field(
        default=False,
        description="Check the certificate of rtsps:// and https:// cameras; off, because most "
        "cameras sign their own.",
    )
    tls_ca_file: FilePath | None = Field(
        default=None, description="Own authority of cameras; needs 'tls_verify: true'."
    )
    hwaccel: HwAccel = Field(
        default="none",
        description="Decode on this device; falls back to software and says why. Does not pay "
        "with 'decode: keyframes'.",
    )
    open_timeout_s: Seconds = Field(default=10.0, description="Longest wait for an answer.")
    read_timeout_s: Seconds = Field(default=10.0, description="A longer silence is a stall.")
    backoff_max_s: Seconds = Field(
        default=60.0, description="Longest wait between two attempts to reconnect."
    )
    smoothing_s: Seconds = Field(
        default=15.0,
        description="Time scale of the filter over each pixel; never below 'interval_s'.",
    )
    open_for_s: Seconds = Field(
        default=30.0, description="Water must stay this long before an episode opens."
    )
    level_up_for_s: Seconds = Field(
        default=15.0, description="A higher level must last this long inside an episode."
    )
    close_for_s: Seconds = Field(
        default=120.0, description="A lower level must last this long, closing included."
    )
    update_every_s: Seconds = Field(
        default=300.0,
        description="Inside an episode, a lower level is told no sooner than this after the "
        "event before; a higher one at once.",
    )
    stale_after_s: Seconds = Field(
        default=120.0, description="Without a usable picture for this long: unknown."
    )
    min_frames: int = Field(
        default=3, ge=1, description="m: so many of the last 'of_frames' must show the water."
    )
    of_frames: int = Field(default=5, ge=1, le=1000, description="n: see 'min_frames'.")
    water_share_of: ShareOf = Field(
        default="zone",
        description="What is 1 in 'water_fraction' and in 'levels': the zone, or the road in "
        "it, which needs a model of several classes.",
    )
    levels: LevelsConfig = LevelsConfig()
    trend: TrendConfig = TrendConfig()

    @model_validator(mode="after")
    def _m_of_n(self) -> Self:
        if self.min_frames > self.of_frames:
            msg = (
                f"'min_frames' ({self.min_frames}) must not exceed 'of_frames' "
                f"({self.of_frames}), or no episode could ever open"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sees_before_it_is_stale(self) -> Self:
        key = "idle_interval_s" if self.mode == "triggered" else "interval_s"
        slowest_s: float = getattr(self, key)
        if self.stale_after_s < 2 * slowest_s:
            msg = (
                f"'stale_after_s' ({self.stale_after_s:g}) must be at least twice '{key}' "
                f"({slowest_s:g}), or the camera would be unknown between two pictures; "
                f"try stale_after_s: {3 * slowest_s:g}"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _intervals_are_in_order(self) -> Self:
        if self.fast_interval_s is not None and self.fast_interval_s > self.interval_s:
            msg = (
                f"'fast_interval_s' ({self.fast_interval_s:g}) must not exceed 'interval_s' "
                f"({self.interval_s:g})"
            )
            raise ValueError(msg)
        if self.mode == "triggered" and self.idle_interval_s < self.interval_s:
            msg = (
                f"'idle_interval_s' ({self.idle_interval_s:g}) must not be below 'interval_s' "
                f"({self.interval_s:g}): a camera rests between two showers"
            )
            raise ValueError(msg)
        return self


class CameraConfig(CameraDefaults):
    """One camera: where its video comes from, how it is judged, and where water matters."""

    url: str = Field(
        description="rtsp://, rtsps://, http:// or https:// address, v4l2:/dev/video0, or the "
        "path of a video file or of a folder that receives pictures."
    )
    evidence_url: str | None = Field(
        default=None,
        description="The camera's main stream, when 'url' is its substream: pictures kept as "
        "evidence come from here. Same user and password.",
    )
    source: Literal["auto", "snapshot", "mjpeg", "hls"] = Field(
        default="auto",
        description="What an http(s):// address gives; 'auto' goes by its content type.",
    )
    username: str | None = Field(default=None, description="User at the camera.")
    password: SecretStr | None = Field(
        default=None, description="Password at the camera: ${env:..}, ${file:..}, ${cred:..}."
    )
    enabled: bool = True
    title: str | None = Field(
        default=None,
        min_length=1,
        max_length=80,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Its name for people, on the page.",
    )
    location: LocationConfig | None = Field(
        default=None, description="Where it hangs, for the page's map."
    )
    group: Annotated[str, Field(pattern=_NAME)] | None = Field(
        default=None, description="Takes what it does not say itself from this group."
    )
    zones: dict[Annotated[str, Field(pattern=_NAME)], ZoneConfig] = Field(
        default={}, description="Empty: one zone 'full' that is the whole picture."
    )
    gauges: dict[Annotated[str, Field(pattern=_NAME)], GaugeConfig] = Field(
        default={}, description="Things of known height in the picture: tell the depth."
    )
    ground: GroundConfig | None = Field(
        default=None, description="Four points with known distances: tell the area."
    )

    @field_validator("url", "evidence_url")
    @classmethod
    def _url_is_usable(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None or url.startswith(DEVICE_PREFIX):
            return url
        if "://" not in url:
            if not url.strip():
                msg = "is empty; write an rtsp:// address or a path"
                raise ValueError(msg)
            return str(_beside_the_file(Path(url), info))
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            msg = "is not a valid address; write rtsp://host:554/path"
            raise ValueError(msg) from None
        if parts.username is not None or parts.password is not None:
            raise ValueError(_CREDENTIALS_IN_URL)
        if parts.scheme not in SOURCE_SCHEMES:
            msg = f"scheme {parts.scheme!r} is not supported; use one of {SOURCE_SCHEMES}"
            raise ValueError(msg)
        if not parts.hostname or port == 0:
            msg = "names no host or port; write rtsp://host:554/path"
            raise ValueError(msg)
        return url

    @field_validator("group")
    @classmethod
    def _group_exists(cls, group: str | None, info: ValidationInfo) -> str | None:
        known = (info.context or {}).get("groups")  # None: a camera without its file
        if group is not None and known is not None and group not in known:
            close = difflib.get_close_matches(group, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "add it under 'groups'"
            msg = f"there is no group {group!r}; {hint}"
            raise ValueError(msg)
        return group

    @model_validator(mode="after")
    def _gauges_have_their_zone(self) -> Self:
        for name, gauge in self.gauges.items():
            self.zone_of(name, gauge)
        return self

    @model_validator(mode="after")
    def _password_needs_username(self) -> Self:
        if self.password is not None and self.username is None:
            msg = "'password' is set without 'username'"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _authority_is_used(self) -> Self:
        if self.tls_ca_file is not None and not self.tls_verify:
            msg = "'tls_ca_file' is set, but nothing is checked; add tls_verify: true"
            raise ValueError(msg)
        return self

    def zone_of(self, name: str, gauge: GaugeConfig) -> str:
        """Return the zone whose depth ``gauge`` tells.

        Raises:
            ValueError: There is none; never of a checked file.
        """
        zones = list(self.zones) or ["full"]
        if gauge.zone is None and len(zones) == 1:
            return zones[0]
        if gauge.zone in zones:
            return gauge.zone
        what = "names no zone" if gauge.zone is None else f"names the zone {gauge.zone!r}"
        msg = f"gauge {name!r} {what}; write zone: one of {', '.join(zones)}"
        raise ValueError(msg)

    @property
    def zones_of_road(self) -> frozenset[str]:
        """The zones whose water is counted as a share of their road."""
        zones: dict[str, ZoneConfig | None] = {**self.zones} or {"full": None}
        return frozenset(
            name
            for name, zone in zones.items()
            if ((zone and zone.water_share_of) or self.water_share_of) == "road"
        )

    @property
    def is_network(self) -> bool:
        """Whether ``url`` is an address and not a path."""
        return "://" in self.url


class GroupConfig(CameraDefaults):
    """What the cameras of one group have unless they say otherwise."""

    username: str | None = Field(default=None, description="User at the cameras.")
    password: SecretStr | None = Field(
        default=None, description="Password at the cameras; a reference, as in a camera."
    )
    trigger: Annotated[str, Field(pattern=_NAME)] | None = Field(
        default=None,
        description="Name in the topic 'context/<name>/set'; 'on' there moves the group to "
        "'fast_interval_s', 'off' moves it back.",
    )


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
