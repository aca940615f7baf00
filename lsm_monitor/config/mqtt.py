"""The broker, and how the daemon meets it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from lsm_monitor.config.base import FilePath, Period, Seconds, Section
from lsm_monitor.config.secrets import is_reference

_HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")


class DiscoveryConfig(Section):
    """Whether Home Assistant is told what there is to show."""

    enabled: bool = False
    prefix: str = Field(
        default="homeassistant",
        pattern=r"^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$",
        description="First levels of Home Assistant's own topics.",
    )


class MqttConfig(Section):
    """The broker that alerts go to."""

    host: str = Field(min_length=1, description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = Field(
        default=None, description="${env:NAME}, ${file:path} or ${cred:name}."
    )
    protocol: Annotated[
        Literal["auto", "3.1.1", "5"],
        BeforeValidator(lambda value: "5" if value == 5 else value),  # noqa: PLR2004 - YAML's 5 is a number
    ] = Field(default="auto", description="'auto': 5, and 3.1.1 where the broker refuses it.")
    transport: Literal["tcp", "websockets"] = "tcp"
    ws_path: str = Field(
        default="/mqtt", pattern=r"^/[!-~]*$", description="Path of the broker's websocket."
    )
    tls: bool = Field(default=False, description="Encrypt; the port is usually 8883.")
    ca_file: FilePath | None = Field(
        default=None, description="Own authority; default: system's."
    )
    cert_file: FilePath | None = Field(
        default=None, description="Our certificate, PEM, for brokers that ask for one."
    )
    key_file: FilePath | None = Field(
        default=None, description="Its private key, PEM; default: in 'cert_file'."
    )
    key_password: SecretStr | None = Field(
        default=None, description="Password of the key: ${env:..}, ${file:..}, ${cred:..}."
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
    event_expiry_s: Period | None = Field(
        default=None,
        description="Age at which messages of a closed episode that the broker never took "
        "become dead letters. Default: never.",
    )
    commands: bool = Field(
        default=True, description="Obey commands and take feedback from the broker."
    )
    discovery: DiscoveryConfig = DiscoveryConfig()

    @field_validator("host")
    @classmethod
    def _is_a_name_or_an_address(cls, host: str) -> str:
        # A reference stands here where a command does without secrets.
        if is_reference(host) or _HOST_NAME.fullmatch(host):
            return host
        try:
            ip_address(host)
        except ValueError:  # without the value: who writes an address may write a password
            msg = (
                "must be a name or an address alone, as in broker.example; 'port', 'username', "
                "'password', 'tls' and 'transport' are keys of their own"
            )
            raise ValueError(msg) from None
        return host

    @model_validator(mode="after")
    def _password_needs_username(self) -> Self:
        if self.password is not None and self.username is None:
            msg = "'password' is set without 'username'"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _certificate_needs_tls(self) -> Self:
        if self.cert_file is not None and not self.tls:
            msg = "'cert_file' is set without 'tls: true'; it would not be used"
            raise ValueError(msg)
        if self.cert_file is None and (self.key_file or self.key_password):
            msg = "'key_file' or 'key_password' is set without 'cert_file'"
            raise ValueError(msg)
        return self
