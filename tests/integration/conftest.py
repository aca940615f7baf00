"""What the tests of a whole daemon and of its publishing need: a broker, and who listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lsm_monitor.publish.outbox import Outbox
from tests.integration.brokers import Notes, RealBroker, free_port
from tests.integration.mosquitto import MOSQUITTO, mosquitto
from tests.integration.publishing import open_outbox


@pytest.fixture
def broker() -> Iterator[RealBroker]:
    with RealBroker() as running:
        yield running


@pytest.fixture
def notes(broker: RealBroker) -> Iterator[Notes]:
    """Everything that is published below ``lsm/``."""
    with broker.subscriber("lsm/#") as received:
        yield received


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path)
    yield outbox
    outbox.close()


@pytest.fixture(params=["amqtt", "mosquitto"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Yield the port of a broker: amqtt speaks 3.1.1, mosquitto 5."""
    if request.param == "amqtt":
        with RealBroker() as broker:
            yield broker.port
    elif MOSQUITTO is None:
        pytest.skip("mosquitto is not there: apt-get install mosquitto")
    else:
        port = free_port()
        with mosquitto(port):
            yield port
