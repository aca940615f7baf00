"""One connection to the broker: how it begins, how it fails, and what it gives away."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from lsm_monitor.config.models import MqttConfig
from lsm_monitor.errors import BrokerError
from lsm_monitor.publish.mqtt import BrokerConnection
from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import WAIT_S, RealBroker, free_port
from tests.integration.scripted_broker import ScriptedBroker

PASSWORD = "s3cret/pass@word"
LAST_WILL = OutboundMessage("lsm/status", b"offline", qos=1, retain=True)
HELLO = OutboundMessage("lsm/hello", b"hello", qos=1, retain=False)


def config_for(port: int, **settings: object) -> MqttConfig:
    values = {"host": "127.0.0.1", "port": port, "connect_timeout_s": 2.0, **settings}
    return MqttConfig.model_validate(values)


async def connect(
    config: MqttConfig, on_end: Callable[[], None] = lambda: None
) -> BrokerConnection:
    return await BrokerConnection.open(
        config, client_id="lsm-test", last_will=LAST_WILL, on_end=on_end
    )


def failure_of(config: MqttConfig) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        asyncio.run(connect(config))
    return caught.value


def chain_of(error: BaseException) -> str:
    """Return everything that an exception and its causes would show in a log."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        texts += [str(link), repr(link), repr(link.args), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


def test_a_message_is_acknowledged_and_a_clean_end_publishes_no_last_will() -> None:
    async def talk(port: int) -> bool:
        connection = await connect(config_for(port))
        acknowledged = (await connection.publish(HELLO)).arrived
        await connection.close()
        assert not (await connection.publish(HELLO)).arrived
        return acknowledged

    with RealBroker() as broker, broker.subscriber("lsm/#") as heard:
        assert asyncio.run(talk(broker.port))
        heard.wait_for(HELLO.topic, HELLO.payload)
        assert heard.on(LAST_WILL.topic) == []


def test_a_broker_that_stops_fails_what_is_on_its_way_and_says_so() -> None:
    async def talk(broker: ScriptedBroker) -> str:
        ended = asyncio.Event()
        connection = await connect(config_for(broker.port), ended.set)
        acknowledged = connection.publish(HELLO)
        await asyncio.to_thread(broker.notes.wait_for, HELLO.topic, HELLO.payload)
        await asyncio.to_thread(broker.__exit__)
        async with asyncio.timeout(WAIT_S):
            await ended.wait()
            assert not (await acknowledged).arrived
        assert not connection.is_open
        with pytest.raises(BrokerError) as caught:
            connection.raise_if_ended()
        await connection.close()
        return caught.value.reason

    with ScriptedBroker() as broker:
        assert asyncio.run(talk(broker)) == "closed"


def test_user_and_password_let_us_in() -> None:
    async def talk(config: MqttConfig) -> None:
        connection = await connect(config)
        assert (await connection.publish(HELLO)).arrived
        await connection.close()

    with RealBroker(user=("lsm", PASSWORD)) as broker:
        asyncio.run(talk(config_for(broker.port, username="lsm", password=PASSWORD)))


def test_a_wrong_password_is_named_as_such_and_never_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "lsm_monitor")
    wrong = "wr0ng/pass@word"
    with RealBroker(user=("lsm", PASSWORD)) as broker:
        error = failure_of(config_for(broker.port, username="lsm", password=wrong))
    assert error.reason == "bad_credentials"
    assert "mqtt.password" in str(error)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("lsm_monitor")]
    assert wrong not in chain_of(error) + "".join(ours)


def test_a_port_where_nobody_listens_is_refused() -> None:
    port = free_port()
    error = failure_of(config_for(port))
    assert error.reason == "refused"
    assert f"127.0.0.1:{port}" in str(error)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70])
def test_a_name_that_does_not_resolve_is_dns(host: str) -> None:
    assert failure_of(config_for(1883, host=host)).reason == "dns"


def test_a_broker_that_takes_the_connection_and_says_nothing_is_silent() -> None:
    with ScriptedBroker(accepts=False) as broker:
        assert failure_of(config_for(broker.port, connect_timeout_s=0.3)).reason == "silent"
        assert broker.hung_up.wait(WAIT_S)


def test_giving_up_while_connecting_leaves_no_connection_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up = threading.Event()
    connect_for_real = socket.create_connection

    def connect_late(
        address: tuple[str, int], timeout: float, source_address: tuple[str, int]
    ) -> socket.socket:
        assert given_up.wait(WAIT_S)
        return connect_for_real(address, timeout, source_address)

    async def give_up(broker: ScriptedBroker) -> None:
        settings = config_for(broker.port, connect_timeout_s=WAIT_S)
        connecting = asyncio.create_task(connect(settings))
        await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()
        given_up.set()
        # The loop lives on, as the daemon's does, and lets go of what was under way.
        assert await asyncio.to_thread(broker.hung_up.wait, WAIT_S)

    monkeypatch.setattr(socket, "create_connection", connect_late)
    with ScriptedBroker() as broker:
        asyncio.run(give_up(broker))
    for thread in threading.enumerate():
        if thread.name.startswith(("mqtt", "paho")):
            thread.join(WAIT_S)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a self-signed certificate for 127.0.0.1 and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certfile, keyfile = folder / "broker.pem", folder / "broker.key"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(keyfile), "-out", str(certfile)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed arguments
    return certfile, keyfile


def test_tls_works_with_the_authority_of_the_broker(certificate: tuple[Path, Path]) -> None:
    async def talk(config: MqttConfig) -> bool:
        connection = await connect(config)
        acknowledged = (await connection.publish(HELLO)).arrived
        await connection.close()
        return acknowledged

    with RealBroker(certificate=certificate) as broker:
        assert asyncio.run(talk(config_for(broker.port, tls=True, ca_file=certificate[0])))


def test_a_certificate_that_nobody_vouches_for_is_refused(
    certificate: tuple[Path, Path],
) -> None:
    with RealBroker(certificate=certificate) as broker:
        assert failure_of(config_for(broker.port, tls=True)).reason == "tls"


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "damaged"])
def test_an_authority_that_cannot_be_read_is_a_tls_failure(
    tmp_path: Path, content: str | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    error = failure_of(config_for(free_port(), tls=True, ca_file=ca_file))
    assert error.reason == "tls"
    assert "mqtt.ca_file" in str(error)


def test_the_password_is_not_in_the_text_of_a_connection() -> None:
    async def show(port: int) -> str:
        connection = await connect(
            config_for(port, username="lsm", password=SecretStr(PASSWORD))
        )
        text = repr(connection) + repr(vars(connection))
        await connection.close()
        return text

    with RealBroker() as broker:
        assert PASSWORD not in asyncio.run(show(broker.port))
