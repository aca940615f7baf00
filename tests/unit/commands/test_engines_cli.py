from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from lsm_engines import EngineError
from lsm_engines.benchmark import Row
from lsm_engines.registry import BACKENDS
from lsm_monitor.commands import engine_report
from lsm_monitor.commands.engine_bench import Bench
from lsm_monitor.commands.engine_report import bench_lines, cameras_line
from lsm_monitor.engines_cli import app
from lsm_monitor.model.bundle import save_bundle, stored_state
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model

KEYS = {
    *("backend", "device", "precision", "batch", "input_px", "images_per_second"),
    *("latency_ms_p50", "latency_ms_p99", "scope", "warm_up_ms", "peak_share", "cameras"),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(folder, MANIFEST, stored_state(EVERYTHING, lively_model(EVERYTHING)))
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    for index, picture in enumerate(pixels):
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command with plans in ``tmp_path``."""
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


def test_info_names_every_backend_and_how_to_install_it(engines: Callable[..., Result]) -> None:
    rows = json.loads(engines("info", "--json").stdout)
    assert [row["backend"] for row in rows] == list(BACKENDS)
    assert all(row["install"].startswith("pip install") for row in rows)
    assert "cores of" in engines("info").stdout


def test_check_passes_an_engine_that_sees_what_pytorch_sees(
    engines: Callable[..., Result], bundle: Path, pictures: Path
) -> None:
    arguments = ("check", "--bundle", bundle, "--images", pictures, "--backend", "torch")
    result = engines(*arguments, "--json")
    assert result.exit_code == 0
    (verdict,) = json.loads(result.stdout)
    assert (verdict["backend"], verdict["fault"], verdict["iou"]) == ("torch", None, 1.0)
    assert verdict["embedding_error_max"] < 1e-4
    assert engines(*arguments).stdout.splitlines()[1].endswith("ok")


def test_check_fails_an_engine_that_sees_something_else(
    engines: Callable[..., Result],
    bundle: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lsm_engines import torch_engine  # noqa: PLC0415

    real = torch_engine.TorchEngine.run

    def noisy(
        engine: torch_engine.TorchEngine, *inputs: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        outputs = real(engine, *inputs)
        if engine.spec.precision == "bf16":
            return tuple(output.flip(-1) for output in outputs)
        return outputs

    monkeypatch.setattr(torch_engine.TorchEngine, "run", noisy)
    result = engines(
        *("check", "--bundle", bundle, "--images", pictures),
        *("--backend", "torch", "--precision", "bf16", "--json"),
    )
    assert result.exit_code == 1
    (verdict,) = json.loads(result.stdout)
    assert verdict["fault"].startswith("mean error of map_0 is ")


@pytest.mark.slow  # it renders a street of 1080p
def test_bench_measures_and_leaves_the_result_for_check(
    engines: Callable[..., Result], bundle: Path, tmp_path: Path
) -> None:
    result = engines(
        *("bench", "--bundle", bundle, "--backend", "torch"),
        *("--batch", "1,2", "--seconds", "0.1", "--json"),
    )
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [(row["scope"], row["batch"]) for row in rows] == [
        *(("encoder", 1), ("model", 1), ("encoder", 2), ("model", 2))
    ]
    for row in rows:
        assert row.keys() == KEYS
        assert row["images_per_second"] > 0
        assert (row["cameras"] is not None) == (row["scope"] == "model")
    capacity = json.loads((tmp_path / "cache/lsm-monitor/plans/capacity.json").read_text())
    assert capacity["model"] == "tiny 1.2.3"
    assert capacity["pictures_per_second"].keys() == {"torch-fp32"}


def test_people_get_a_table_and_the_cameras_that_can_be_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_report, "usable_cores", lambda: 2)
    row = Row("torch", "cpu", "fp32", 4, 512, 12.5, 319.4, 400.0, "model", 900.0)
    slower = dataclasses.replace(row, backend="openvino", images_per_second=5.0)
    bench = Bench([slower, row], {}, [0.1, 0.25], key_frame_s=0.0)
    assert list(bench_lines(bench)) == [
        "engine         scope  batch  pictures/s  first ms  p50 ms  p99 ms  of peak",
        "openvino-fp32  model  4      5.0         900       319.4   400.0   10%",
        "torch-fp32     model  4      12.5        900       319.4   400.0   25%",
    ]
    assert cameras_line(bench) == (
        "cameras this machine can carry with torch-fp32, one 1080p picture each per interval: "
        "37 at 5 s, 66 at 10 s, 135 at 30 s, 182 at 60 s (decoding, 0.0 ms of a core per key "
        "frame, and the connections included)"
    )


def test_build_tells_what_the_daemon_will_run_on(
    engines: Callable[..., Result], bundle: Path, tmp_path: Path
) -> None:
    text = Path("config/monitor.minimal.yaml")
    file = tmp_path / "monitor.yaml"
    root = Path(__file__).parents[3]
    model = f"model: {{bundle: {bundle}, backend: torch, device: cpu}}\n"
    file.write_text((root / text).read_text() + model)
    result = engines("build", "--config", file)
    assert (result.exit_code, result.stdout) == (0, f"{bundle}: torch-fp32 on cpu\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--backend", "abacus"),
        ("bench", "--batch", "0"),
        ("bench", "--batch", "a,b"),
        ("export", "--out", "model.txt"),
    ],
    ids=["backend", "zero", "letters", "suffix"],
)
def test_what_cannot_be_meant_is_a_usage_error(
    engines: Callable[..., Result], arguments: tuple[str, ...]
) -> None:
    assert engines(*arguments).exit_code == 2


def test_backends_that_cannot_be_used_here_are_named(engines: Callable[..., Result]) -> None:
    result = engines("check", "--backend", "tensorrt", "--device", "cpu")
    assert isinstance(result.exception, EngineError)
    assert "tensorrt: does not run on cpu" in result.stderr
