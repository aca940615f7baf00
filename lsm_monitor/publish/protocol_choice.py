"""Which version of MQTT to speak: 5 where the broker does, else 3.1.1, and remember which.

A broker without MQTT 5 should refuse it in so many words. Some hang up instead, and some
misread the CONNECT and fall silent; so does a broker that is only overloaded. What was said
is remembered for good, what was guessed for an hour.
"""

from __future__ import annotations

from typing import Literal

from paho.mqtt.enums import MQTTProtocolVersion

from lsm_monitor.clock import Clock
from lsm_monitor.publish.broker_client import MQTT_3_1_1, MQTT_5

_GUESS_HOLDS_S = 3600.0
_GUESSED = frozenset({"hung_up", "silent"})


class ProtocolChoice:
    """The choice for one broker.

    Args:
        configured: What the operator wants.
        clock: Time for guesses.
    """

    def __init__(self, configured: Literal["auto", "3.1.1", "5"], clock: Clock) -> None:
        self._is_auto = configured == "auto"
        self._is_old = configured == "3.1.1"
        self._clock = clock
        self._guess_ends_s = float("-inf")

    @property
    def best(self) -> MQTTProtocolVersion:
        """The newest version that the broker is not known to refuse."""
        is_guessed_old = self._clock.monotonic_s() < self._guess_ends_s
        return MQTT_3_1_1 if self._is_old or is_guessed_old else MQTT_5

    def may_be_too_new(self, cause: str) -> bool:
        """Return whether a connection that failed for ``cause`` is worth 3.1.1."""
        may_change = self._is_auto and self.best == MQTT_5
        return may_change and (cause == "protocol" or cause in _GUESSED)

    def was_too_new(self, cause: str) -> None:
        """Remember that 3.1.1 worked where 5 had failed for ``cause``."""
        if cause in _GUESSED:
            self._guess_ends_s = self._clock.monotonic_s() + _GUESS_HOLDS_S
        else:
            self._is_old = True
