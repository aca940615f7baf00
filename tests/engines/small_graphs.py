"""Graphs for the tests of the backends, and everything that can run them here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from lsm_engines import Engine, EngineRequest, Graph, build_engine
from lsm_engines.api import Precision
from lsm_engines.plans import PlanKey, PlanStore
from lsm_engines.registry import BACKENDS

MAX_BATCH = 3
PICTURE = (3, 16, 16)
WEIGHTS = (8,)


class Mixer(nn.Module):
    """Two inputs that matter, two outputs of different shapes, and a batch that it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, images: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = torch.relu(self.norm(self.convolution(images)))
        fine = features * weights.view(images.shape[0], 8, 1, 1)
        return fine, fine.mean(dim=(2, 3))


def mixer_graph() -> Graph:
    torch.manual_seed(0)
    inputs = {"images": PICTURE, "weights": WEIGHTS}
    return Graph("mixer", Mixer().eval(), inputs, ("fine", "coarse"), fingerprint="mixer")


def mixer_inputs(batch: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, *PICTURE, generator=generator)
    return images, torch.randn(batch, *WEIGHTS, generator=generator)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A backend with its arithmetic, on the CPU."""

    backend: str
    precision: Precision

    def build(self, graph: Graph, plans: PlanStore, *, threads: int = 1) -> Engine:
        library = BACKENDS[self.backend].library
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed; run: {BACKENDS[self.backend].install}")
        if self.backend == "openvino" and self.precision == "bf16" and not has_bfloat16():
            pytest.skip("this processor has no bfloat16 arithmetic")
        request = EngineRequest("cpu", threads, MAX_BATCH, self.precision)
        return build_engine(self.backend, graph, request, plans)


class OneFile(PlanStore):
    """A store whose only plan is ``path``, whatever is asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._path = path

    def obtain(self, key: PlanKey, build: object) -> Path:
        del key, build
        return self._path


RUNTIMES = [
    pytest.param(runtime, id=f"{runtime.backend}-{runtime.precision}")
    for runtime in (
        Runtime("torch", "fp32"),
        Runtime("torch", "bf16"),
        Runtime("onnxruntime", "fp32"),
        Runtime("openvino", "fp32"),
        Runtime("openvino", "bf16"),
    )
]


def has_bfloat16() -> bool:
    """Say whether OpenVINO has it here."""
    from lsm_engines.openvino_engine import the_core  # noqa: PLC0415 - an extra

    capabilities: list[str] = the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities
