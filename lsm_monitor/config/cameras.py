"""What can be said about cameras: all of them, those of a group, or one.

A camera has what it says itself, else what its group says, else ``defaults``, else the defaults
written here.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lsm_monitor.config.base import NAME as _NAME
from lsm_monitor.config.base import FilePath, Seconds, Section
from lsm_monitor.config.base import beside_the_file as _beside_the_file
from lsm_monitor.config.gauges import GaugeConfig, GroundConfig, TrendConfig
from lsm_monitor.config.levels import LevelsConfig
from lsm_monitor.config.watching import WatchSettings
from lsm_monitor.config.zones import ShareOf, ZoneConfig

_CREDENTIALS_IN_URL = (
    "write user and password as 'username' and 'password', not in the URL; an '@' of its path "
    "is %40"
)
_LOGIN_WITHOUT_SCHEME = re.compile(r"[^/]*:[^/]*@")
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
        description="Its name for people, on the page and in Home Assistant.",
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
        # Wherever the @ stands: rtsp://admin:12/34@host reads as port 12 of a host 'admin'.
        if ("@" in url and "://" in url) or _LOGIN_WITHOUT_SCHEME.match(url):
            raise ValueError(_CREDENTIALS_IN_URL)
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
        if parts.scheme not in SOURCE_SCHEMES:
            msg = f"scheme {parts.scheme!r} is not supported; use one of {SOURCE_SCHEMES}"
            raise ValueError(msg)
        is_host = parts.hostname is not None and " " not in parts.hostname
        if not is_host or port == 0:
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
