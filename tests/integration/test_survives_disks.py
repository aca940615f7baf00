"""Disks at their worst; benchmarks/bench_disks.py prints the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.bad_disks import SCENARIOS, Trial, try_out

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.__name__ for s in SCENARIOS])
def test_alerts_go_out_and_all_is_well_afterwards(
    scenario: Callable[[Trial], None], tmp_path: Path
) -> None:
    try:
        try_out(scenario, tmp_path, events=30)
    except PermissionError as exc:
        pytest.skip(f"needs the right to mount a tmpfs: {exc}")
