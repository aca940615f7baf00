"""The daemon itself: its model, its port for health checks, its log."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from lsm_monitor.config.base import Section, beside_the_file


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
        return str(beside_the_file(Path(bundle), info)) if "/" in bundle else bundle


class HttpConfig(Section):
    """The port for health checks, Prometheus and ``lsm-monitor status``."""

    enabled: bool = True
    host: str = Field(default="127.0.0.1", description="Loopback address to listen on.")
    port: int = Field(default=9109, ge=0, le=65535, description="0: any that is free.")

    @field_validator("host")
    @classmethod
    def _is_loopback(cls, host: str) -> str:
        try:
            is_loopback = ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
        except ValueError:
            is_loopback = False
        if not is_loopback:
            msg = (
                f"{host!r} is not a loopback address: there is no login and no TLS yet; write "
                "127.0.0.1 or ::1, and put a proxy with both in front of it"
            )
            raise ValueError(msg)
        return host


class LoggingConfig(Section):
    """How the daemon reports to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"
