"""The daemon itself: its model, its port for health checks, its log."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lsm_monitor.config.base import FilePath, Period, Seconds, Section, beside_the_file
from lsm_monitor.config.secrets import is_reference

_MIN_TOKEN_CHARACTERS = 16


def _is_network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        msg = f"{text!r} is no address or network; write 192.0.2.7 or 192.0.2.0/24"
        raise ValueError(msg) from None
    return text


_Network = Annotated[str, AfterValidator(_is_network)]
_HostName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=253)
]


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
    """The port for the page, health checks, Prometheus and ``lsm-monitor status``."""

    enabled: bool = True
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; another than loopback needs 'users_file', and "
        "'tls_cert_file' or 'trusted_proxies'.",
    )
    port: int = Field(default=9109, ge=0, le=65535, description="0: any that is free.")
    users_file: FilePath | None = Field(
        default=None,
        description="Who may use the page; made with 'lsm-monitor users add'. Without one, "
        "everybody on this machine may do everything.",
    )
    tls_cert_file: FilePath | None = Field(
        default=None, description="Certificate and its chain, PEM; read again when it changes."
    )
    tls_key_file: FilePath | None = Field(
        default=None, description="Its private key, PEM. Default: in 'tls_cert_file'."
    )
    trusted_proxies: tuple[_Network, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed.",
    )
    allowed_hosts: tuple[_HostName, ...] = Field(
        default=(),
        description="Names under which browsers reach the page, beside localhost and this "
        "machine's own; addresses always work.",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="What Prometheus on another machine sends as 'Authorization: Bearer'.",
    )
    session_idle_s: Seconds = Field(
        default=3600.0, description="A login ends when its page is closed for so long."
    )
    session_max_s: Period = Field(
        default=12 * 3600.0, le=90 * 86400.0, description="Every login ends after so long."
    )

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, host: str) -> str:
        try:
            ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            msg = f"{host!r} is not an address; write 127.0.0.1, or 0.0.0.0 for all"
            raise ValueError(msg) from None
        return host

    @field_validator("metrics_token")
    @classmethod
    def _cannot_be_guessed(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value() if token is not None else None
        # A reference stands here where a command does without secrets.
        if text is not None and not is_reference(text) and len(text) < _MIN_TOKEN_CHARACTERS:
            msg = (
                f"is shorter than {_MIN_TOKEN_CHARACTERS} characters; try: openssl rand -hex 32"
            )
            raise ValueError(msg)
        return token

    @model_validator(mode="after")
    def _key_has_its_certificate(self) -> Self:
        if self.tls_key_file is not None and self.tls_cert_file is None:
            msg = "'tls_key_file' is set without 'tls_cert_file'"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _is_not_open_to_everybody(self) -> Self:
        if self.is_loopback or not self.enabled:
            return self
        missing = []
        if self.users_file is None:
            missing.append(
                "nobody would have to log in: write 'users_file: users.yaml' and make it with "
                "'lsm-monitor users add NAME --role admin --file users.yaml'"
            )
        if self.tls_cert_file is None and not self.trusted_proxies:
            missing.append(
                "passwords could be read on the way: write 'tls_cert_file' and 'tls_key_file', "
                "or 'trusted_proxies' with the address of a proxy that speaks TLS"
            )
        if missing:
            msg = f"'host' ({self.host}) is not this machine's own; {'; and '.join(missing)}"
            raise ValueError(msg)
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the port."""
        return self.host == "localhost" or ip_address(self.host).is_loopback


class LoggingConfig(Section):
    """How the daemon reports to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"
