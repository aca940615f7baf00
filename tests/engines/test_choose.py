from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from lsm_engines import Engine, EngineError, EngineRequest, Graph, contest, torch_engine
from lsm_engines.api import NoSuchBackendError
from lsm_engines.attempts import MAX_DEATHS
from lsm_engines.choose import Choice, choose_engine, prefer_engine
from lsm_engines.contest import Contender, NoBackendError, _winner
from lsm_engines.plans import PlanStore
from lsm_engines.registry import BACKENDS, Backend
from tests.engines.liars import Spoilt, backend
from tests.engines.small_graphs import mixer_graph, mixer_inputs

REQUEST = EngineRequest("cpu", max_batch=2)
GRAPH = mixer_graph()


def choose(
    folder: Path, kinds: tuple[str, ...], request: EngineRequest = REQUEST
) -> tuple[Choice, bool]:
    """Return the choice between PyTorch and ``kinds``, and whether there was a contest."""
    choice = choose_engine(
        GRAPH,
        request,
        PlanStore(folder),
        lambda: mixer_inputs(2),
        backends=backends(kinds),
        contenders={"cpu": [Contender(name) for name in (*kinds, "torch")]},
    )
    return choice, not choice.is_remembered


def backends(kinds: tuple[str, ...]) -> Mapping[str, Backend]:
    return {"torch": BACKENDS["torch"], **{kind: backend(kind) for kind in kinds}}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("does-not-build", "operator not supported"),
        ("does-not-load", "libnothing.so.1: cannot open"),
        ("full-disk", "No space left on device"),
        ("lies", "does not agree with PyTorch: mean error of fine"),
        ("lies-in-batches", "does not agree with PyTorch"),
        ("forgets-an-output", "argument"),
        ("does-not-run", "illegal instruction"),
        ("slow", "times as long"),
    ],
)
def test_a_backend_that_fails_only_loses_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, reason: str
) -> None:
    caplog.set_level(logging.INFO)
    choice, _ = choose(tmp_path, (kind,))
    assert reason in choice.rejected[kind]
    choice.engine.run(*mixer_inputs(1))
    told = next(r.getMessage() for r in caplog.records if "mixer runs on" in r.getMessage())
    assert told.startswith("mixer runs on torch-fp32 (found now); not ")
    assert reason in told


def test_the_backends_that_run_here_take_part_and_one_of_them_wins(plans: PlanStore) -> None:
    choice = choose_engine(GRAPH, REQUEST, plans)
    named = {choice.engine.spec.backend, *(name.split("-")[0] for name in choice.rejected)}
    assert {"torch", "onnxruntime"} <= named
    assert len(choice.engine.run(*mixer_inputs(2))) == 2


def test_the_next_start_builds_the_winner_alone(tmp_path: Path) -> None:
    first, was_held = choose(tmp_path, ("lies",))
    assert was_held
    second, was_held = choose(tmp_path, ("lies",))
    assert not was_held
    assert second.is_remembered
    assert second.engine.spec == first.engine.spec
    assert second.rejected == first.rejected


@pytest.mark.parametrize(
    "request_",
    [
        EngineRequest("cpu", max_batch=1),
        EngineRequest("cpu", threads=7, max_batch=2),
        EngineRequest("cpu", max_batch=2, precision="fp32"),
    ],
    ids=["batch", "threads", "precision"],
)
def test_another_request_is_another_contest(tmp_path: Path, request_: EngineRequest) -> None:
    threads = torch.get_num_threads()
    choose(tmp_path, ())
    try:
        assert choose(tmp_path, (), request_)[1]
    finally:
        torch.set_num_threads(threads)


def test_a_new_backend_is_a_new_contest(tmp_path: Path) -> None:
    choose(tmp_path, ())
    assert choose(tmp_path, ("slow",))[1]


def test_who_lost_for_want_of_room_gets_another_chance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choose(tmp_path, ("full-disk",))
    assert (
        "mixer: which backend is best is not remembered: a contender could not" in caplog.text
    )
    assert choose(tmp_path, ("full-disk",))[1]


@pytest.mark.parametrize("memory", ['{"backend": "gone", "precision": null}', "[]", "{"])
def test_a_memory_that_makes_no_sense_is_a_new_contest(tmp_path: Path, memory: str) -> None:
    choose(tmp_path, ())
    (plan,) = tmp_path.glob("*/plan")
    plan.write_text(memory)
    assert choose(tmp_path, ())[1]


def test_a_winner_that_no_longer_works_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    choose(tmp_path, ())
    real, calls = BACKENDS["torch"], []

    def broken_once(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 1:
            msg = "the driver is another"
            raise EngineError(msg)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    original = torch_engine.build_engine
    monkeypatch.setattr(torch_engine, "build_engine", broken_once)
    choice, was_held = choose(tmp_path, ())
    assert real.module == torch_engine.__name__
    assert was_held
    assert choice.engine.spec.backend == "torch"
    assert "mixer: torch-fp32 was best, but no longer works: the driver is" in caplog.text
    assert not choose(tmp_path, ())[1]


def test_a_winner_that_has_come_to_lie_is_not_believed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    choose(tmp_path, ())
    original, calls = torch_engine.build_engine, []

    def lying_once(graph: Graph, request: EngineRequest, plans: PlanStore) -> Engine:
        calls.append(graph)
        engine = original(graph, request, plans)
        return Spoilt(engine, "lies") if len(calls) == 1 else engine

    monkeypatch.setattr(torch_engine, "build_engine", lying_once)
    choice, was_held = choose(tmp_path, ())
    assert was_held
    assert choice.engine.spec.backend == "torch"
    assert "but no longer works: does not agree with PyTorch" in caplog.text


def test_a_race_that_breaks_off_is_won_by_who_is_expected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> object:
        msg = "out of memory"
        raise RuntimeError(msg)

    monkeypatch.setattr(contest, "interleave", out_of_memory)
    choice, _ = choose(tmp_path, ("slow",))
    assert choice.engine.spec.backend == "slow"
    assert choice.rejected["torch"] == "not raced: out of memory"


def test_what_killed_the_process_is_left_out(tmp_path: Path) -> None:
    choose(tmp_path, ("slow",))
    (plan,) = tmp_path.glob("*/plan")
    plan.unlink()
    plan.with_name("trying-slow").write_text(str(MAX_DEATHS))
    choice, _ = choose(tmp_path, ("slow",))
    assert "the process died 3 times" in choice.rejected["slow"]


def test_a_place_that_cannot_be_written_is_no_reason_to_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    choice, _ = choose(tmp_path / "file", ("lies",))
    assert choice.engine.spec.backend == "torch"
    assert "cannot be written (Not a directory)" in caplog.text


def test_nobody_left_is_an_error_with_every_reason(tmp_path: Path) -> None:
    kinds = ("lies", "does-not-build")
    with pytest.raises(NoBackendError, match=r"lies: does not agree.*; does-not-build: oper"):
        choose_engine(
            GRAPH,
            REQUEST,
            PlanStore(tmp_path),
            backends=backends(kinds),
            contenders={"cpu": [Contender(kind) for kind in kinds]},
        )


def test_an_unknown_device_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="unknown device 'tpu'; use auto, "):
        choose_engine(GRAPH, EngineRequest("tpu"), PlanStore(tmp_path))


@pytest.mark.parametrize(
    ("results", "winner"),
    [
        ({"a": ("fp32", 1.0), "b": ("fp32", 0.99)}, "b"),
        ({"a": ("fp32", 1.0), "b": ("bf16", 0.95)}, "a"),
        ({"a": ("fp32", 1.0), "b": ("bf16", 0.5)}, "b"),
        ({"a": ("fp16", 0.6), "b": ("bf16", 0.5), "c": ("fp32", 1.0)}, "b"),
        ({"a": ("fp16", 0.6), "b": ("bf16", 0.58), "c": ("fp32", 1.0)}, "a"),
        ({"a": ("bf16", 2.0)}, "a"),
    ],
)
def test_less_exact_arithmetic_must_be_worth_it(
    results: dict[str, tuple[str, float]], winner: str
) -> None:
    by_contender = {Contender(name): result for name, result in results.items()}
    assert _winner(by_contender) == Contender(winner)  # type: ignore[arg-type]  # literals


@pytest.mark.parametrize("kind", ["does-not-build", "full-disk", "lies", "does-not-run"])
def test_a_backend_asked_for_by_name_gives_way_to_pytorch_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    engine = prefer_engine(
        kind, GRAPH, REQUEST, PlanStore(tmp_path), backends=backends((kind,))
    )
    assert len(engine.run(*mixer_inputs(1))) == 2
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith(f"no backend runs 'mixer' here: {kind}: ")
    assert warning.endswith("; torch runs it instead")


@pytest.mark.parametrize("name", ["slow", "torch"])
def test_a_backend_asked_for_by_name_that_works_is_used_though_it_is_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for _ in range(2):
        engine = prefer_engine(
            name, GRAPH, REQUEST, PlanStore(tmp_path), backends=backends(("slow",))
        )
        assert engine.spec.backend == name
    assert caplog.text == ""


def test_a_backend_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NoSuchBackendError, match="unknown engine backend 'abacus'"):
        prefer_engine("abacus", GRAPH, REQUEST, PlanStore(tmp_path))


def test_when_nobody_can_be_chosen_pytorch_runs_the_graph_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(contest, "_disagreement", lambda *_: "nobody agrees today")
    engine = prefer_engine("auto", GRAPH, REQUEST, PlanStore(tmp_path), backends=backends(()))
    assert engine.spec.backend == "torch"
    assert "nobody agrees today" in caplog.text
    assert "torch runs it instead" in caplog.text


def test_a_backend_for_the_cpu_runs_there_though_the_machine_has_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a GPU")
    request = EngineRequest("auto", max_batch=2)
    engine = prefer_engine(
        "slow", GRAPH, request, PlanStore(tmp_path), backends=backends(("slow",))
    )
    assert (engine.spec.backend, engine.spec.device) == ("slow", "cpu")
