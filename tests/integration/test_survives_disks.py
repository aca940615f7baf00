"""Disks at their worst; benchmarks/bench_disks.py prints the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lsm_monitor.errors import StoreError
from lsm_monitor.runtime.state_dir import locked
from tests.integration.bad_disks import SCENARIOS, Trial, small_disk, try_out

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.__name__ for s in SCENARIOS])
def test_alerts_go_out_and_all_is_well_afterwards(
    scenario: Callable[[Trial], None], tmp_path: Path
) -> None:
    try:
        try_out(scenario, tmp_path, events=30)
    except PermissionError as exc:
        pytest.skip(f"needs the right to mount a tmpfs: {exc}")


def test_a_folder_that_became_read_only_can_be_locked_and_a_new_one_cannot(
    tmp_path: Path,
) -> None:
    try:
        with small_disk(tmp_path) as disk:
            with locked(tmp_path):
                pass
            disk.make_writable(writable=False)
            with (
                locked(tmp_path),
                pytest.raises(StoreError, match="another lsm-monitor"),
            ):
                locked(tmp_path).__enter__()
            with pytest.raises(StoreError, match="make it writable"):
                locked(tmp_path / "new").__enter__()
    except PermissionError as exc:
        pytest.skip(f"needs the right to mount a tmpfs: {exc}")
