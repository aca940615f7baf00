from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lsm_engines import EngineError, EngineRequest, Graph, build_engine
from lsm_engines.plans import PlanStore
from lsm_engines.registry import Backend, installed_version

ABSENT = Backend(
    "lsm_engines.absent_engine", "no_such_library", "pip install no-such", devices=("cpu",)
)
REQUEST = EngineRequest(device="cpu")


class Halver(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return images[..., ::2, ::2], images[..., ::4, ::4]


@pytest.fixture
def plans(tmp_path: Path) -> PlanStore:
    return PlanStore(tmp_path)


@pytest.fixture
def halver() -> Graph:
    return Graph("halver", Halver(), {"images": (3, 8, 8)}, ("half", "quarter"), "1")


def test_a_backend_is_found_by_its_name(halver: Graph, plans: PlanStore) -> None:
    engine = build_engine("torch", halver, REQUEST, plans)
    assert engine.spec.backend == "torch"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("absent", "not installed; run: pip install no-such", id="not-installed"),
        pytest.param(
            "cuda", "unknown engine backend 'cuda'; known are auto, absent", id="typo"
        ),
    ],
)
def test_a_backend_that_cannot_be_had_is_named_with_the_way_out(
    name: str, message: str, halver: Graph, plans: PlanStore
) -> None:
    with pytest.raises(EngineError, match=message):
        build_engine(name, halver, REQUEST, plans, backends={"absent": ABSENT})


def test_a_library_whose_package_has_another_name_has_a_version() -> None:
    yaml = Backend("lsm_engines.absent_engine", "yaml", "pip install pyyaml", devices=("cpu",))
    assert (installed_version(yaml) or "").startswith("6.")


def test_a_library_that_is_not_there_has_no_version() -> None:
    assert installed_version(ABSENT) is None


@pytest.mark.parametrize(
    "modules",
    [
        pytest.param(("lsm_monitor",), id="the-daemon"),
        pytest.param(("onnxruntime", "openvino", "tensorrt", "onnx"), id="heavy-libraries"),
    ],
)
def test_importing_the_engines_does_not_import(modules: tuple[str, ...]) -> None:
    code = (
        "import sys, lsm_engines, lsm_engines.registry, lsm_engines.torch_engine;"
        f"sys.exit(any(name.split('.')[0] in {modules!r} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code
