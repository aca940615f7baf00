"""The daemon's model on engines that break: it says so, and goes on."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lsm_engines.plans import PlanStore
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.model.bundle import save_bundle, stored_state
from tests.unit.engines.plans import largest_file
from tests.unit.inference.test_segmenter import BOX, frame
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model

pytestmark = pytest.mark.slow  # graphs are exported

CHILD = """
import os, signal, sys
from pathlib import Path
from lsm_engines.plans import PlanStore
from lsm_monitor.inference.segmenter import Segmenter

def die(text):
    if "-onnx-" in text:  # the plan is begun
        os.kill(os.getpid(), signal.SIGKILL)

Segmenter.open(sys.argv[1], backend="onnxruntime", device="cpu", threads=1, max_batch=1,
               plans=PlanStore(Path(sys.argv[2]), die))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    # A head that is no graph: half as much to export. test_parity has the other kind.
    parts = EVERYTHING.model_copy(update={"spatial_prompt": BOX})
    manifest = MANIFEST | {"parts": parts.model_dump()}
    save_bundle(folder, manifest, stored_state(parts, lively_model(parts)))
    return folder


@pytest.fixture(scope="module")
def built(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plans of ``bundle``; not to be changed."""
    folder = tmp_path_factory.mktemp("plans")
    open_segmenter(bundle, folder, "onnxruntime").close()
    return folder


def open_segmenter(bundle: Path, plans: Path, backend: str) -> Segmenter:
    return Segmenter.open(
        str(bundle),
        backend=backend,
        device="cpu",
        threads=0,
        max_batch=2,
        plans=PlanStore(plans),
    )


def water(segmenter: Segmenter) -> np.ndarray:
    (mask,) = segmenter.segment([frame(48, 64)])
    segmenter.close()
    return mask.probability


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)


def test_a_full_disk_ends_in_a_message_and_a_segmenter_that_works(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with largest_file(4096):
        segmenter = open_segmenter(bundle, tmp_path, "onnxruntime")
    assert segmenter.identity.backend == "torch-fp32"
    assert water(segmenter).shape == (48, 64)
    said = warnings(caplog)
    assert "cannot build and store the plan (File too large): it needs more than" in said
    assert "torch runs it instead" in said


def test_a_plan_folder_that_is_a_file_ends_in_a_message_and_a_segmenter_that_works(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "plans").touch()
    segmenter = open_segmenter(bundle, tmp_path / "plans", "auto")
    assert water(segmenter).shape == (48, 64)
    assert "cannot be written (Not a directory)" in warnings(caplog)
    assert "set XDG_CACHE_HOME" in warnings(caplog)


def test_a_build_that_is_killed_is_done_again(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(bundle), str(tmp_path)]
    root = Path(__file__).parents[3]
    died = subprocess.run(  # noqa: S603 - our own code
        command, check=False, env={"PYTHONPATH": f"{root}:{root / 'engines'}"}
    )
    assert died.returncode == -signal.SIGKILL
    segmenter = open_segmenter(bundle, tmp_path, "onnxruntime")
    assert segmenter.identity.backend == "onnxruntime-fp32"
    assert water(segmenter).shape == (48, 64)


@pytest.mark.parametrize("field", ["torch", "onnxruntime", "machine"])
def test_plans_of_another_machine_are_named_and_replaced(
    bundle: Path, built: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    plans = tmp_path / "plans"
    swapped = 0
    for path in built.rglob("*"):
        target = plans / path.relative_to(built)
        if path.is_dir():
            target.mkdir(parents=True)
        elif path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            if field in manifest["made_for"]:
                manifest["made_for"][field] = "another"
                swapped += 1
            target.write_text(json.dumps(manifest))
        else:
            target.write_bytes(path.read_bytes())
    segmenter = open_segmenter(bundle, plans, "onnxruntime")
    assert swapped == 1
    assert segmenter.identity.backend == "onnxruntime-fp32"
    assert water(segmenter).shape == (48, 64)
    assert f"was built for {field} another, this machine has" in warnings(caplog)


def test_every_backend_by_name_sees_what_pytorch_sees(bundle: Path, built: Path) -> None:
    expected = water(open_segmenter(bundle, built, "torch"))
    assert expected.std() > 0.01
    found = water(open_segmenter(bundle, built, "onnxruntime"))
    np.testing.assert_allclose(found, expected, atol=1e-3)
