"""What the log says about the connection: each new trouble once, the metrics count them all."""

from __future__ import annotations

import logging

from lsm_monitor.errors import BrokerError

logger = logging.getLogger(__name__)

_SUSPICIOUS_FAILURES = 3


class BrokerLog:
    """Reports for one client.

    Args:
        client_id: Who we are at the broker.
    """

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._reported_reason = ""

    def connected(self, address: str) -> None:
        """Say that it works; the next failure is news again."""
        logger.info("broker %s: connected", address)
        self._reported_reason = ""

    def failed(self, exc: BrokerError, failures_before: int) -> None:
        """Say why there is no connection, if that is news.

        Args:
            exc: How it ended, or why it never began.
            failures_before: Connections in a row that were as short.
        """
        if exc.reason == "closed" and failures_before == _SUSPICIOUS_FAILURES:
            # What MQTT 3.1.1 and older brokers do instead of saying that we were taken over.
            logger.error(
                "%s (let in and thrown out %d times in a row: does another daemon use client "
                "id %r? give each its own 'mqtt.client_id')",
                exc,
                failures_before + 1,
                self._client_id,
            )
        elif exc.reason != self._reported_reason:
            logger.warning("%s; trying again until it works", exc)
        self._reported_reason = exc.reason

    def deaf(self) -> None:
        """Say that we cannot hear what is published to us."""
        logger.warning(
            "mqtt: the broker refuses a subscription, so not all commands are heard; allow "
            "%r to read them in its access list, or set 'mqtt.commands: false'",
            self._client_id,
        )
