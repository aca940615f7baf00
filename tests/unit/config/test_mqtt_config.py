from __future__ import annotations

import pytest
from pydantic import ValidationError

from lsm_monitor.config.models import MqttConfig


def mqtt_of(**values: object) -> MqttConfig:
    return MqttConfig.model_validate({"host": "broker", **values})


@pytest.mark.parametrize("written", [5, "5"])
def test_the_protocol_may_be_written_as_a_number(written: object) -> None:
    assert mqtt_of(protocol=written).protocol == "5"


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        pytest.param({"cert_file": "a.pem"}, "without 'tls: true'", id="no TLS"),
        pytest.param({"tls": True, "key_file": "a.key"}, "without 'cert_file'", id="key"),
        pytest.param({"tls": True, "key_password": "x"}, "without 'cert_file'", id="lock"),
        pytest.param({"ws_path": "/mqtt\r\nHost: x"}, "ws_path", id="header in the path"),
        pytest.param({"ws_path": "mqtt"}, "ws_path", id="relative path"),
        pytest.param({"host": "mqtt://broker"}, "'port'", id="address of a page"),
        pytest.param({"host": "broker:1883"}, "'port'", id="port in the host"),
        pytest.param({"host": "u:s3cret@broker"}, "'username'", id="user in the host"),
        pytest.param({"host": "10.0.0..5"}, "name or an address", id="two dots"),
        pytest.param({"host": "[::1]"}, "name or an address", id="brackets"),
        pytest.param({"host": "broker "}, "name or an address", id="blank"),
        pytest.param({"protocol": "3.1"}, "protocol", id="old"),
        pytest.param({"protocol": True}, "protocol", id="no version"),
        pytest.param({"discovery": {"prefix": "home/+"}}, "prefix", id="wildcard"),
    ],
)
def test_what_would_not_work_at_the_broker_is_refused(
    values: dict[str, object], remedy: str
) -> None:
    with pytest.raises(ValidationError, match=remedy):
        mqtt_of(**values)


@pytest.mark.parametrize(
    "host",
    [
        "broker",
        "mqtt_1",
        "broker.example.",
        "bücher.example",
        "10.0.0.5",
        "::1",
        "fe80::1%eth0",
    ],
)
def test_names_and_addresses_of_brokers_are_taken(host: str) -> None:
    assert mqtt_of(host=host).host == host


def test_a_reference_stands_for_a_host_where_its_value_is_not_needed() -> None:
    assert mqtt_of(host="${env:BROKER}").host == "${env:BROKER}"


def test_the_key_s_password_is_not_in_the_text_of_the_section() -> None:
    config = mqtt_of(tls=True, cert_file="a.pem", key_password="k3y")
    assert "k3y" not in repr(config) + str(config.model_dump())
