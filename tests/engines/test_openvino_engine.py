from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lsm_engines import EngineError, EngineRequest, build_engine
from lsm_engines.plans import PlanStore
from tests.engines.small_graphs import OneFile, has_bfloat16, mixer_graph, mixer_inputs

pytest.importorskip("openvino", reason="pip install 'lsm-monitor[openvino]'")


def test_single_precision_is_the_default_wherever_it_runs(plans: PlanStore) -> None:
    graph = mixer_graph()
    engine = build_engine("openvino", graph, EngineRequest(), plans)
    assert engine.spec.precision == "fp32"
    with torch.inference_mode():
        expected = graph.module(*mixer_inputs(1))
    for found, wanted in zip(engine.run(*mixer_inputs(1)), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16 arithmetic")
def test_bfloat16_is_what_it_says(plans: PlanStore) -> None:
    graph = mixer_graph()
    request = EngineRequest("cpu", precision="bf16")
    fine, _ = build_engine("openvino", graph, request, plans).run(*mixer_inputs(1))
    with torch.inference_mode():
        expected, _ = graph.module(*mixer_inputs(1))
    assert 1e-4 < (fine - expected).abs().max() < 0.1


def test_bfloat16_is_refused_where_the_processor_has_none(
    plans: PlanStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openvino.Core.get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(EngineError, match="no bfloat16 arithmetic; use fp32"):
        build_engine("openvino", mixer_graph(), EngineRequest("cpu", precision="bf16"), plans)


@pytest.mark.parametrize("device", ["cuda", "GPU"])
def test_other_devices_are_refused(plans: PlanStore, device: str) -> None:
    with pytest.raises(EngineError, match=f"on the CPU only, not on '{device}'"):
        build_engine("openvino", mixer_graph(), EngineRequest(device), plans)


def test_other_arithmetic_is_refused(plans: PlanStore) -> None:
    with pytest.raises(EngineError, match="openvino has no fp16 here"):
        build_engine("openvino", mixer_graph(), EngineRequest("cpu", precision="fp16"), plans)


def test_a_file_that_is_no_model_is_an_engine_error(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_text("not a model")
    with pytest.raises(EngineError, match="openvino cannot compile graph 'mixer': "):
        build_engine("openvino", mixer_graph(), EngineRequest("cpu"), OneFile(path))


# What the daemon does when its bundle is exchanged; the handler of a signal runs on whatever
# signal stack its thread was left with.
EXCHANGED_AND_SIGNALLED = """
import os, signal, sys, threading
from pathlib import Path
from lsm_engines import EngineRequest, build_engine
from lsm_engines.plans import PlanStore
from tests.engines.small_graphs import mixer_graph

signal.signal(signal.SIGHUP, lambda *_: print("heard"))
plans = PlanStore(Path(sys.argv[1]))
engines = [build_engine("openvino", mixer_graph(), EngineRequest("cpu"), plans)]
thread = threading.Thread(target=engines.clear)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGHUP)
"""


def test_a_signal_is_heard_after_an_engine_was_dropped_by_another_thread(
    tmp_path: Path,
) -> None:
    result = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-X", "faulthandler", "-c", EXCHANGED_AND_SIGNALLED, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "heard\n"), result.stderr
