"""Who can reach the HTTP port: refused is what would be open to everybody."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lsm_monitor.config.models import CameraConfig, HttpConfig

USERS = {"users_file": "users.yaml"}
TLS = {"tls_cert_file": "a.pem", "tls_key_file": "a.key"}
PROXY = {"trusted_proxies": ["192.0.2.0/24"]}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_on_loopback_nothing_is_needed(host: str) -> None:
    assert HttpConfig(host=host).is_loopback


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "lsm-monitor users add"),
        ({**TLS}, "lsm-monitor users add"),
        ({**PROXY}, "lsm-monitor users add"),
        ({**USERS}, "'tls_cert_file'"),
    ],
)
def test_off_loopback_both_a_login_and_encryption_are_needed(
    settings: dict[str, object], hint: str
) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7"):  # noqa: S104 - refused
        with pytest.raises(ValidationError, match=hint):
            HttpConfig.model_validate({"host": host, **settings})


@pytest.mark.parametrize("encryption", [TLS, PROXY])
def test_off_loopback_is_allowed_with_both(encryption: dict[str, object]) -> None:
    http = HttpConfig.model_validate({"host": "0.0.0.0", **USERS, **encryption})  # noqa: S104 - with a login
    assert not http.is_loopback


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"host": "flood.example"}, "is not an address"),
        ({"tls_key_file": "a.key"}, "without 'tls_cert_file'"),
        ({"trusted_proxies": ["*"]}, "write 192.0.2.7"),
        ({"allowed_hosts": ["https://flood.example"]}, "String should match"),
        ({"metrics_token": "short"}, "openssl rand"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings: dict[str, object], hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        HttpConfig.model_validate(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "x" * 81},
        {"title": "two\nlines"},
        {"title": ""},
        {"location": {"lat": 91, "lon": 0}},
        {"location": {"lat": 0}},
    ],
)
def test_a_title_is_short_and_a_place_is_on_earth(wrong: dict[str, object]) -> None:
    camera = {"url": "rtsp://h/1", "title": "桥", "location": {"lat": 30.2, "lon": 120.1}}
    assert CameraConfig.model_validate(camera).title == "桥"
    with pytest.raises(ValidationError):
        CameraConfig.model_validate({**camera, **wrong})
