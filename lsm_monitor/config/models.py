"""The configuration, as types.

The file is checked completely before anything is opened. Unknown keys are errors, because a
misspelt key that is ignored looks exactly like a setting that does not work. Every number
carries its unit in its name; a duration may also be written with its unit ("90s", "5m").
Models are pure: checking a file touches neither the network nor the cameras.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from shapely.geometry import Polygon
from shapely.validation import explain_validity

from lsm_monitor.config.base import NAME as _NAME
from lsm_monitor.config.base import FilePath, Fraction, Seconds, Section
from lsm_monitor.config.base import beside_the_file as _beside_the_file
from lsm_monitor.config.gauges import GaugeConfig, GroundConfig, PlaceConfig, TrendConfig

_CREDENTIALS_IN_URL = "write user and password as 'username' and 'password', not in the URL"
SOURCE_SCHEMES = ("rtsp", "rtsps")
Point = tuple[float, float]


class LevelConfig(Section):
    """Hysteresis band of one water level."""

    enter: Fraction = Field(description="Share of the zone from which the level begins.")
    leave: Fraction = Field(description="Share of the zone below which it ends.")

    @model_validator(mode="after")
    def _leave_is_below_enter(self) -> Self:
        if self.leave >= self.enter:
            msg = (
                f"'leave' ({self.leave:g}) must be below 'enter' ({self.enter:g}), "
                f"or the level would flap; try leave: {0.6 * self.enter:g}"
            )
            raise ValueError(msg)
        return self


class LevelsConfig(Section):
    """Bands of all levels; ``ponding`` is the one that opens and closes an episode."""

    wet: LevelConfig = LevelConfig(enter=0.02, leave=0.01)
    ponding: LevelConfig = LevelConfig(enter=0.08, leave=0.04)
    flooded: LevelConfig = LevelConfig(enter=0.25, leave=0.18)
    severe: LevelConfig = LevelConfig(enter=0.50, leave=0.40)

    @model_validator(mode="after")
    def _levels_rise(self) -> Self:
        names = ("wet", "ponding", "flooded", "severe")
        for lower, upper in itertools.pairwise(names):
            low, high = getattr(self, lower), getattr(self, upper)
            if not (low.enter < high.enter and low.leave < high.leave):
                msg = (
                    f"'{upper}' (enter {high.enter:g}, leave {high.leave:g}) must lie above "
                    f"'{lower}' (enter {low.enter:g}, leave {low.leave:g}) in both numbers"
                )
                raise ValueError(msg)
        return self


class ZoneConfig(Section):
    """Polygon in which water matters."""

    points: tuple[Point, ...] = Field(
        description="Corners as [x, y], from 0,0 (top left) to 1,1 (bottom right)."
    )

    @field_validator("points")
    @classmethod
    def _is_a_polygon(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if len(points) < 3:  # noqa: PLR2004 - a triangle
            msg = f"a zone needs at least 3 corners, got {len(points)}"
            raise ValueError(msg)
        for x, y in points:
            if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
                msg = (
                    f"corner [{x:g}, {y:g}] lies outside the picture; coordinates run from 0 "
                    "to 1: divide pixels by the picture's width and height"
                )
                raise ValueError(msg)
        polygon = Polygon(points)
        if not polygon.is_valid:
            msg = f"the outline crosses or touches itself ({explain_validity(polygon)})"
            raise ValueError(msg)
        return points


class CameraDefaults(Section):
    """What every camera has unless it says otherwise; ``defaults`` in the file."""

    interval_s: Seconds = Field(default=10.0, description="Time between two judged pictures.")
    decode: Literal["keyframes", "all"] = Field(
        default="keyframes",
        description="'keyframes' decodes only those, about 13 times cheaper; 'all' is for "
        "cameras whose key frames are further apart than 'interval_s'.",
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="RTSP transport.")
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
        if self.stale_after_s < 2 * self.interval_s:
            msg = (
                f"'stale_after_s' ({self.stale_after_s:g}) must be at least twice 'interval_s' "
                f"({self.interval_s:g}), or the camera would be unknown between two pictures; "
                f"try stale_after_s: {3 * self.interval_s:g}"
            )
            raise ValueError(msg)
        return self


class CameraConfig(CameraDefaults):
    """One camera: where its video comes from, how it is judged, and where water matters."""

    url: str = Field(
        description="rtsp:// or rtsps:// address, or the path of a video file or "
        "of a folder that receives pictures."
    )
    username: str | None = Field(default=None, description="User at the camera.")
    password: SecretStr | None = Field(
        default=None, description="Password at the camera: ${env:..}, ${file:..}, ${cred:..}."
    )
    enabled: bool = True
    zones: dict[Annotated[str, Field(pattern=_NAME)], ZoneConfig] = Field(
        default={}, description="Empty: one zone 'full' that is the whole picture."
    )
    gauges: dict[Annotated[str, Field(pattern=_NAME)], GaugeConfig] = Field(
        default={}, description="Things of known height in the picture: tell the depth."
    )
    ground: GroundConfig | None = Field(
        default=None, description="Four points with known distances: tell the area."
    )

    @field_validator("url")
    @classmethod
    def _url_is_usable(cls, url: str, info: ValidationInfo) -> str:
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
    def is_network(self) -> bool:
        """Whether ``url`` is an address and not a path."""
        return "://" in self.url


class MqttConfig(Section):
    """The broker that alerts go to."""

    host: str = Field(min_length=1, description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = Field(
        default=None, description="${env:NAME}, ${file:path} or ${cred:name}."
    )
    tls: bool = Field(default=False, description="Encrypt; the port is usually 8883.")
    ca_file: FilePath | None = Field(
        default=None, description="Own authority; default: system's."
    )
    topic_prefix: str = Field(
        default="lsm/v1", pattern=r"^[a-z0-9_-]+(/[a-z0-9_-]+)*$", description="Before <site>."
    )
    client_id: str | None = Field(default=None, description="Default: lsm-<site>-<hostname>.")
    keepalive_s: Seconds = Field(default=30.0, description="Longest silence to the broker.")
    connect_timeout_s: Seconds = Field(default=10.0, description="Longest wait for the broker.")
    heartbeat_s: Seconds = Field(
        default=60.0, description="Retained states are repeated this often."
    )

    @model_validator(mode="after")
    def _password_needs_username(self) -> Self:
        if self.password is not None and self.username is None:
            msg = "'password' is set without 'username'"
            raise ValueError(msg)
        return self


class ModelConfig(Section):
    """The model that judges."""

    bundle: str = Field(
        default="compact", description="Name of a shipped bundle, or the path of one."
    )
    backend: Literal["auto", "torch", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx"] = (
        "auto"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0, le=256, description="CPU threads; 0: all cores.")
    max_batch: int = Field(default=4, ge=1, le=64, description="Frames per inference call.")

    @field_validator("bundle")
    @classmethod
    def _path_isbeside_the_file(cls, bundle: str, info: ValidationInfo) -> str:
        return str(_beside_the_file(Path(bundle), info)) if "/" in bundle else bundle


class LoggingConfig(Section):
    """How the daemon reports to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


class MonitorConfig(Section):
    """One configuration file."""

    version: Literal[1] = Field(description="Version of this file format.")
    site: Annotated[str, Field(pattern=_NAME)] = Field(
        description="Name of the installation; part of every topic."
    )
    state_dir: FilePath | None = Field(
        default=None,
        description="Where the outbox lives. Default: $STATE_DIRECTORY (systemd), for root "
        "/var/lib/lsm-monitor, else ~/.local/state/lsm-monitor.",
    )
    mqtt: MqttConfig
    model: ModelConfig = ModelConfig()
    logging: LoggingConfig = LoggingConfig()
    defaults: CameraDefaults = CameraDefaults()
    cameras: dict[Annotated[str, Field(pattern=_NAME)], CameraConfig] = Field(
        description="Every camera, by its id.", min_length=1
    )
    places: dict[Annotated[str, Field(pattern=_NAME)], PlaceConfig] = Field(
        default={}, description="Cameras that look at the same road and vouch for each other."
    )

    @model_validator(mode="after")
    def _places_name_cameras(self) -> Self:
        for name, place in self.places.items():
            unknown = [camera for camera in place.cameras if camera not in self.cameras]
            if unknown:
                msg = f"place {name!r}: there is no camera {unknown[0]!r} in this file"
                raise ValueError(msg)
        return self
