"""Brokers at their worst; the large run is benchmarks/bench_brokers.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.bad_brokers import BROKERS, SCENARIOS, Trial, try_out

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("broker", list(BROKERS))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.__name__ for s in SCENARIOS])
def test_nothing_is_lost_and_the_order_holds(
    scenario: Callable[[Trial], None], broker: str, tmp_path: Path
) -> None:
    try_out(scenario, broker, tmp_path, events=60)
