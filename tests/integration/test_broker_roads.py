"""The roads to a broker: TLS with our own certificate, websockets, and both."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from pathlib import Path

import pytest

from lsm_monitor.config.models import MqttConfig
from lsm_monitor.errors import BrokerError
from lsm_monitor.publish.broker_client import MQTT_3_1_1, MQTT_5
from lsm_monitor.publish.mqtt import BrokerConnection
from tests.integration.brokers import RealBroker, free_port, subscribed
from tests.integration.mosquitto import OPENSSL, Authority, mosquitto, needs_mosquitto
from tests.integration.publishing import (
    open_outbox,
    publisher_for,
    record_story,
    running,
    wait_for_events,
)
from tests.integration.test_publish_connection import HELLO, LAST_WILL, chain_of
from tests.unit.publish.scenes import EVENT_TOPIC

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not there")
KEY_PASSWORD = "k3y/pass@word"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def say_hello(port: int, **settings: object) -> bool:
    """Return whether the broker acknowledges a message; raises ``BrokerError``."""
    values = {"host": "127.0.0.1", "port": port, "connect_timeout_s": 2.0, **settings}
    config = MqttConfig.model_validate(values)

    async def talk() -> bool:
        connection = await BrokerConnection.open(
            config,
            client_id="lsm-test",
            last_will=LAST_WILL,
            on_end=lambda: None,
            protocol=MQTT_3_1_1 if config.protocol == "3.1.1" else MQTT_5,
        )
        receipt = await connection.publish(HELLO)
        await connection.close()
        return receipt.arrived

    return asyncio.run(talk())


def settings_of(authority: Authority, *, require_certificate: bool = True) -> str:
    certificate, key = authority.certify("broker")
    lines = [f"cafile {authority.certificate}", f"certfile {certificate}", f"keyfile {key}"]
    if require_certificate:
        lines += ["require_certificate true", "use_identity_as_username true"]
    return "\n".join(lines)


@needs_mosquitto
@pytest.mark.parametrize("transport", ["tcp", "websockets"])
@pytest.mark.parametrize("password", [None, KEY_PASSWORD], ids=["open key", "locked key"])
def test_our_certificate_lets_us_in(
    transport: str, password: str | None, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.certify("daemon", password=password)
    port, settings = free_port(), settings_of(authority)
    if transport == "websockets":
        # Mosquitto 2.0.11 does not start with websockets alone.
        settings += f"\nprotocol websockets\nlistener {free_port()} 127.0.0.1"
    with mosquitto(port, tmp_path, settings):
        assert say_hello(
            port,
            transport=transport,
            tls=True,
            ca_file=authority.certificate,
            cert_file=certificate,
            key_file=key,
            key_password=password,
        )


@needs_mosquitto
def test_a_broker_that_asks_for_a_certificate_and_gets_none_is_explained(
    authority: Authority, tmp_path: Path
) -> None:
    port = free_port()
    with (
        mosquitto(port, tmp_path, settings_of(authority)),
        pytest.raises(BrokerError, match=r"mqtt\.cert_file") as caught,
    ):
        say_hello(port, tls=True, ca_file=authority.certificate)
    assert caught.value.reason == "hung_up"


@needs_mosquitto
def test_a_certificate_of_another_authority_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    certificate, key = Authority(tmp_path / "other").certify("daemon")
    port = free_port()
    with (
        mosquitto(port, tmp_path, settings_of(authority)),
        pytest.raises(BrokerError) as caught,
    ):
        say_hello(
            port, tls=True, ca_file=authority.certificate, cert_file=certificate, key_file=key
        )
    assert caught.value.reason == "hung_up"


@pytest.mark.parametrize(
    "flaw", ["wrong password", "no password", "other key", "missing", "no key"]
)
def test_our_own_certificate_that_cannot_be_used_is_named_and_its_password_is_not(
    flaw: str, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lsm_monitor")
    certificate, key = authority.certify("locked", password=KEY_PASSWORD)
    password: str | None = KEY_PASSWORD
    match flaw:
        case "wrong password":
            password = "wr0ng/pass"
        case "no password":
            password = None
        case "other key":
            key = authority.certify("someone-else")[1]
        case "missing":
            certificate = tmp_path / "nowhere.pem"
        case "no key":
            key = tmp_path / "empty.key"
            key.write_text("no key at all")
    with pytest.raises(BrokerError, match=r"mqtt\.key_file") as caught:
        say_hello(
            free_port(),
            tls=True,
            ca_file=authority.certificate,
            cert_file=certificate,
            key_file=key,
            key_password=password,
        )
    assert caught.value.reason == "certificate"
    told = chain_of(caught.value) + caplog.text
    assert KEY_PASSWORD not in told
    assert "wr0ng" not in told


@needs_mosquitto
def test_events_travel_over_a_websocket_of_mosquitto(tmp_path: Path) -> None:
    port, plain_port, outbox = free_port(), free_port(), open_outbox(tmp_path)
    settings = f"protocol websockets\nlistener {plain_port} 127.0.0.1"
    told = record_story(outbox, range(1, 31))
    with (
        mosquitto(port, tmp_path, settings),
        subscribed(plain_port, EVENT_TOPIC) as heard,
        running(publisher_for(outbox, port=port, protocol="auto", transport="websockets")),
    ):
        wait_for_events(heard, told)
    outbox.close()


def test_events_travel_over_a_websocket_of_amqtt_with_tls(
    authority: Authority, tmp_path: Path
) -> None:
    outbox = open_outbox(tmp_path)
    told = record_story(outbox, range(1, 11))
    with (
        RealBroker(certificate=authority.certify("broker"), websockets=True) as broker,
        running(
            publisher_for(
                outbox,
                port=broker.port,
                transport="websockets",
                tls=True,
                ca_file=authority.certificate,
            )
        ),
    ):
        wait_for_events(broker.notes, told)
    outbox.close()


# paho drops the socket of a failed handshake and leaves closing it to its destructor.
@needs_mosquitto
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_port_without_websockets_is_named_as_such() -> None:
    port = free_port()
    with mosquitto(port), pytest.raises(BrokerError) as caught:
        say_hello(port, transport="websockets")
    assert caught.value.reason == "websocket"
    del caught
    gc.collect()  # now, not in a test that expects no warning


@pytest.mark.parametrize("websockets", [False, True], ids=["tcp", "websockets"])
def test_small_packets_leave_at_once_on_every_road(*, websockets: bool) -> None:
    async def option_of(port: int) -> int:
        connection = await BrokerConnection.open(
            MqttConfig(
                host="127.0.0.1", port=port, transport="websockets" if websockets else "tcp"
            ),
            client_id="lsm-test",
            last_will=LAST_WILL,
            on_end=lambda: None,
        )
        assert (await connection.publish(HELLO)).arrived
        sock = connection._client.socket()
        assert sock is not None
        with socket.socket(fileno=os.dup(sock.fileno())) as same:
            option = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await connection.close()
        return option

    with RealBroker(websockets=websockets) as broker:
        assert asyncio.run(option_of(broker.port)) == 1
