"""Whether events reach the disk: said once when that changes, and always in the metrics."""

from __future__ import annotations

import logging

from lsm_monitor.errors import StoreError
from lsm_monitor.metrics import Metrics

logger = logging.getLogger(__name__)


class Durability:
    """What the disk did last. Not thread-safe."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.holds = True

    def refused(self, exc: StoreError) -> None:
        """Note that the disk refused; reported once per fault, not once per event."""
        if self.holds:
            logger.error("events are not durable, but go out from memory: %s", exc)
        self.holds = False
        self._metrics.outbox_durable.set(0)

    def accepted(self) -> None:
        """Note that everything is on disk."""
        if not self.holds:
            logger.warning("events are durable again")
        self.holds = True
        self._metrics.outbox_durable.set(1)
