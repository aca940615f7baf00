from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lsm_monitor.model.build import ModelParts, WaterModel, build_model
from lsm_monitor.model.bundle import save_bundle

PARTS = ModelParts("efficientnet_lite0", "lite", input_size_px=64)
MANIFEST: dict[str, object] = {
    "name": "tiny",
    "version": "1.2.3",
    "classes": ("water",),
    "input_size_px": PARTS.input_size_px,
    "parts": {"image_encoder": PARTS.image_encoder, "small_model": PARTS.small_model},
    "threshold": 0.5,
    "trained_on": [{"name": "nothing", "licence": "CC0", "pictures": 1}],
    "metrics": {"iou": None},
    "software": {"torch": torch.__version__},
}


@pytest.fixture(scope="session")
def model() -> WaterModel:
    torch.manual_seed(0)
    return build_model(PARTS).eval()


@pytest.fixture
def bundle_folder(tmp_path: Path, model: WaterModel) -> Path:
    folder = tmp_path / "tiny"
    save_bundle(folder, MANIFEST, model.state_dict())
    return folder
