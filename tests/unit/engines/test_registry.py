from __future__ import annotations

import json
import sys

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from lsm_engines import EngineError, EngineRequest, build_engine
from lsm_engines.cli import app
from lsm_engines.registry import BACKENDS, Backend

ABSENT = Backend("lsm_engines.absent_engine", "no_such_library", "pip install no-such")
REQUEST = EngineRequest(image_size=32, device="cpu")


class Halver(nn.Module):
    def forward(
        self, images: torch.Tensor, frequencies: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        del frequencies
        return images[..., ::2, ::2], images[..., ::4, ::4]


def test_auto_passes_over_backends_that_are_not_installed() -> None:
    backends = {"absent": ABSENT, "torch": BACKENDS["torch"]}
    engine = build_engine("auto", Halver(), REQUEST, backends=backends)
    assert engine.spec.backend == "torch"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("absent", "not installed; run: pip install no-such", id="not-installed"),
        pytest.param(
            "cuda", "unknown engine backend 'cuda'; known are auto, absent", id="typo"
        ),
        pytest.param("auto", "no engine backend is installed.*no-such", id="none-at-all"),
    ],
)
def test_a_backend_that_cannot_be_had_is_named_with_the_way_out(
    name: str, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        build_engine(name, Halver(), REQUEST, backends={"absent": ABSENT})


def test_info_lists_every_backend_with_its_version() -> None:
    rows = json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)
    assert rows == [
        {"backend": "torch", "version": torch.__version__, "install": "pip install torch"}
    ]


def test_info_for_people_names_the_backend() -> None:
    assert CliRunner().invoke(app, ["info"]).stdout.startswith("torch ")


def test_the_engines_do_not_import_the_daemon() -> None:
    import subprocess  # noqa: PLC0415 - a fresh interpreter has a clean sys.modules

    code = (
        "import sys, lsm_engines, lsm_engines.torch_engine;"
        "sys.exit(any(name.startswith('lsm_monitor') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code
