"""``lsm-monitor probe``: open one source that stands in no configuration yet."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr, ValidationError

from lsm_monitor.capture.probe import ProbeReport, probe
from lsm_monitor.capture.redact import redact_url
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.config.cameras import CameraConfig, HwAccel
from lsm_monitor.errors import ConfigError
from lsm_monitor.types import CameraId

_CREDENTIALS_IN_URL = (
    "the address holds a user or password, which every user of this machine can read in the "
    "process list; use --username and --password-file (- reads it from stdin)"
)


def probe_url(
    url: str,
    *,
    username: str | None,
    password: SecretStr | None,
    transport: Literal["tcp", "udp"],
    hwaccel: HwAccel = "none",
) -> ProbeReport:
    """Open ``url`` as a camera of the daemon would be opened, and watch it for a while.

    Raises:
        ConfigError: The address cannot be one of a camera.
        SourceError: It cannot be opened, or no picture came.
    """
    if "://" in url and "@" in url:
        raise ConfigError(_CREDENTIALS_IN_URL)
    try:
        camera = CameraConfig(
            url=url,
            username=username,
            password=password,
            transport=transport,
            hwaccel=hwaccel,
        )
    except ValidationError as exc:
        problems = (e["msg"].removeprefix("Value error, ") for e in exc.errors())
        msg = f"{redact_url(url)}: {'; '.join(problems)}"
        raise ConfigError(msg) from None
    return probe(SourceSpec.from_config(CameraId("probe"), camera), clock=SystemClock())


def describe(report: ProbeReport) -> str:
    """Return the report as one line for a person."""
    facts = report.facts
    fps = "unknown rate" if facts.fps is None else f"{facts.fps:.3g} pictures/s"
    key = (
        "one key frame so far"
        if facts.keyframe_interval_s is None
        else f"a key frame every {facts.keyframe_interval_s:.3g} s"
    )
    if facts.decoder_reason:
        key += f", decoded in software ({facts.decoder_reason})"
    elif facts.decoder != "software":
        key += f", decoded by {facts.decoder}"
    usable = "usable" if not report.codes else f"unusable: {', '.join(report.codes)}"
    return (
        f"{facts.codec} {report.size_wh[0]}x{report.size_wh[1]}, {fps}, {key}, first picture "
        f"after {report.first_picture_s:.2f} s, {usable}"
    )


def as_json_object(report: ProbeReport) -> dict[str, object]:
    """Return the report for programs; numbers in SI units, ``null`` for what is unknown."""
    facts = report.facts
    return {
        "url": report.url,
        "codec": facts.codec,
        "width_px": report.size_wh[0],
        "height_px": report.size_wh[1],
        "fps": facts.fps,
        "keyframe_interval_s": facts.keyframe_interval_s,
        "has_timestamps": facts.has_timestamps,
        "decoder": facts.decoder,
        "decoder_reason": facts.decoder_reason,
        "open_s": round(report.open_s, 3),
        "first_picture_s": round(report.first_picture_s, 3),
        "codes": [code.value for code in report.codes],
    }
