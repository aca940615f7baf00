from __future__ import annotations

import pytest

from lsm_engines.plans import PlanStore


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> PlanStore:
    """A store that all tests share: exporting a graph takes seconds."""
    return PlanStore(tmp_path_factory.mktemp("plans"))
