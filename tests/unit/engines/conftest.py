from __future__ import annotations

from pathlib import Path

import pytest

from lsm_engines.plans import PlanStore
from tests.unit.engines.plans import Builder, key_for


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A good plan in the store ``tmp_path``."""
    return PlanStore(tmp_path).obtain(key_for(), Builder(key_for()))
