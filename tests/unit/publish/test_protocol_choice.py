from __future__ import annotations

import pytest

from lsm_monitor.publish.broker_client import MQTT_3_1_1, MQTT_5
from lsm_monitor.publish.protocol_choice import ProtocolChoice
from tests.fakes import FakeClock


def test_5_is_tried_first_and_a_refusal_is_remembered_for_good() -> None:
    clock = FakeClock()
    choice = ProtocolChoice("auto", clock)
    assert choice.best == MQTT_5
    assert choice.may_be_too_new("protocol")
    choice.was_too_new("protocol")
    clock.now_s += 1e9
    assert choice.best == MQTT_3_1_1
    assert not choice.may_be_too_new("protocol")


@pytest.mark.parametrize("cause", ["hung_up", "silent"])
def test_a_guess_holds_for_an_hour(cause: str) -> None:
    clock = FakeClock()
    choice = ProtocolChoice("auto", clock)
    assert choice.may_be_too_new(cause)
    choice.was_too_new(cause)
    clock.now_s += 3599.0
    assert choice.best == MQTT_3_1_1
    clock.now_s += 2.0
    assert choice.best == MQTT_5


@pytest.mark.parametrize("cause", ["dns", "refused", "timeout", "bad_credentials", "closed"])
def test_what_has_nothing_to_do_with_the_protocol_changes_nothing(cause: str) -> None:
    assert not ProtocolChoice("auto", FakeClock()).may_be_too_new(cause)


def test_what_the_operator_says_holds() -> None:
    assert not ProtocolChoice("5", FakeClock()).may_be_too_new("protocol")
    assert ProtocolChoice("3.1.1", FakeClock()).best == MQTT_3_1_1
