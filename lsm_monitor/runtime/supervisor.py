"""Keep the services of the daemon running, and know when to stop trying.

One service failing must not stop the others: a dead camera is normal. A service that fails
again and again is not normal: then the process exits and systemd starts it afresh, which is
the one repair that also helps against leaked GPU memory and wedged drivers.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from lsm_monitor.clock import Clock
from lsm_monitor.errors import BundleError, ConfigError, RestartLimitExceededError
from lsm_monitor.metrics import Metrics

logger = logging.getLogger(__name__)


class Service(Protocol):
    """Something that runs until it is cancelled."""

    name: str

    async def run(self) -> None:
        """Run; return only when there is nothing left to do."""
        ...


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When and how fast a failed service is started again.

    Attributes:
        backoff_s: Wait before the first restart; doubles with each failure in a row.
        backoff_max_s: Longest wait.
        healthy_after_s: A run at least this long ends the row of failures.
        limit: So many failures within ``window_s`` are one too many; ``None``: never give up,
            for services whose failure must not end the others.
        window_s: See ``limit``.
    """

    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    healthy_after_s: float = 300.0
    limit: int | None = 20
    window_s: float = 600.0


async def supervise(
    service: Service, policy: RestartPolicy, clock: Clock, metrics: Metrics
) -> None:
    """Run ``service``; start it again when it fails.

    Returns when the service returns. Cancellation, :class:`ConfigError` and
    :class:`BundleError` pass through: none of them gets better by trying again.

    Raises:
        RestartLimitExceededError: The service failed ``policy.limit`` times within
            ``policy.window_s``.
    """
    failures: deque[float] = deque(maxlen=policy.limit)
    in_a_row = 0
    while True:
        started_s = clock.monotonic_s()
        try:
            await service.run()
        except (ConfigError, BundleError):
            raise
        except Exception as exc:
            now_s = clock.monotonic_s()
            failures.append(now_s)
            if policy.limit and _too_many(failures, policy.limit, now_s - policy.window_s):
                raise RestartLimitExceededError(
                    service.name, policy.limit, policy.window_s
                ) from exc
            in_a_row = 1 if now_s - started_s >= policy.healthy_after_s else in_a_row + 1
            doublings = min(in_a_row - 1, 30)  # a year of failures must not overflow
            ceiling_s = min(policy.backoff_max_s, policy.backoff_s * 2.0**doublings)
            wait_s = random.uniform(ceiling_s / 2, ceiling_s)  # noqa: S311 - jitter
            metrics.restarts.labels(service.name).inc()
            logger.exception("%s failed; restarting in %.1f s", service.name, wait_s)
            await clock.sleep(wait_s)
        else:
            return


def _too_many(failures: deque[float], limit: int, window_start_s: float) -> bool:
    return len(failures) == limit and failures[0] >= window_start_s
