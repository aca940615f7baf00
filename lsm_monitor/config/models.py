"""The configuration, as types.

The file is checked completely before anything is opened. Unknown keys are errors, because a
misspelt key that is ignored looks exactly like a setting that does not work. Every number
carries its unit in its name; a duration may also be written with its unit ("90s", "5m").
Models are pure: checking a file touches neither the network nor the cameras.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from shapely.geometry import Polygon
from shapely.validation import explain_validity

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
_CREDENTIALS_IN_URL = "write user and password as 'username' and 'password', not in the URL"
SOURCE_SCHEMES = ("rtsp", "rtsps", "http", "https")
DEVICE_PREFIX = "v4l2:"


def _duration_s(value: object) -> object:
    """Return "1.5m" as 90.0; anything but a string is left to pydantic."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*", value)
    if match is None:
        msg = f"{value!r} is not a duration; write seconds (90) or a unit ('90s', '5m', '1h')"
        raise ValueError(msg)
    return float(match[1]) * _UNIT_S[match[2]]


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Return ``path`` as seen from the configuration file: a service runs elsewhere."""
    return Path((info.context or {}).get("base_dir", Path())) / path


FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, BeforeValidator(_duration_s), Field(gt=0.0, le=86400.0)]
Point = tuple[float, float]
HwAccel = Literal["none", "auto", "cuda", "qsv", "drm", "amf", "vaapi"]


class Section(BaseModel):
    """Base of every section: immutable and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        default=20.0, description="Time constant of the average over each pixel."
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
    stale_after_s: Seconds = Field(
        default=120.0, description="Without a usable picture for this long: unknown."
    )
    min_frames: int = Field(
        default=3, ge=1, description="m: so many of the last 'of_frames' must show the water."
    )
    of_frames: int = Field(default=5, ge=1, le=1000, description="n: see 'min_frames'.")
    levels: LevelsConfig = LevelsConfig()

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
    zones: dict[Annotated[str, Field(pattern=_NAME)], ZoneConfig] = Field(
        default={}, description="Empty: one zone 'full' that is the whole picture."
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
    def _path_is_beside_the_file(cls, bundle: str, info: ValidationInfo) -> str:
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
