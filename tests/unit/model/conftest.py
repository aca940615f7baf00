from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lsm_monitor.model.bundle import save_bundle, stored_state
from lsm_monitor.model.lsm_adapter import LsmAdapter
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model


@pytest.fixture(scope="session")
def model() -> LsmAdapter:
    """Everything on; tests do not change it."""
    return lively_model(EVERYTHING)


@pytest.fixture(scope="session")
def saved_bundle(tmp_path_factory: pytest.TempPathFactory, model: LsmAdapter) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(folder, MANIFEST, stored_state(EVERYTHING, model))
    return folder


@pytest.fixture
def bundle_folder(tmp_path: Path, saved_bundle: Path) -> Path:
    """A bundle of ``model`` to do damage to."""
    return shutil.copytree(saved_bundle, tmp_path / "tiny")
