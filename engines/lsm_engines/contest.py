"""Which of several backends runs a graph best on this machine: they are tried, then raced.

Everyone who is installed is built, must agree with PyTorch on the caller's tensors, and is
timed against the others; the fastest stays. A backend that fails only loses.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from lsm_engines.api import (
    Engine,
    EngineError,
    EngineRequest,
    Graph,
    NoSuchBackendError,
    PlanError,
    Precision,
)
from lsm_engines.attempts import Attempts
from lsm_engines.benchmark import interleave
from lsm_engines.parity import compare, find_fault
from lsm_engines.plans import PlanStore
from lsm_engines.registry import Backend, build_engine

Probes = Callable[[], Sequence[torch.Tensor]]
"""Makes (B, ...) float32 on the CPU for each of a graph's inputs, as real as possible."""

_ROUNDS = 9
_RACE_S = 10.0
"""A race is over after so many rounds, or so long."""
_HOPELESS = 3.0
"""Who takes so many times as long as the fastest leaves the race."""
_WORTHWHILE = 0.9
"""Less exact arithmetic must take less than this share of the time of more exact one."""
_FAULTS_OF_LIBRARIES = (
    ImportError,
    OSError,
    RuntimeError,
    AttributeError,
    TypeError,
    ValueError,
)
"""What a library raises that is half there, or of a version that nobody has seen."""
_EXACTNESS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")


@dataclass(frozen=True, slots=True)
class Contender:
    """A backend with one kind of arithmetic; ``None`` leaves that to the backend."""

    backend: str
    precision: Precision | None = None

    def __str__(self) -> str:
        """Return its name for people and for files: ``openvino-bf16``."""
        return self.backend if self.precision is None else f"{self.backend}-{self.precision}"


CONTENDERS: Mapping[str, tuple[Contender, ...]] = MappingProxyType(
    {
        "cuda": (
            Contender("tensorrt"),
            Contender("tensorrt_rtx"),
            Contender("torch"),
        ),
        "cpu": (
            Contender("openvino", "bf16"),
            Contender("openvino", "fp32"),
            Contender("onnxruntime", "fp32"),
            Contender("torch", "fp32"),
        ),
    }
)
"""Who takes part, by device, in the order of expected speed."""


class NoBackendError(EngineError):
    """Nothing can run the graph here; the text has the reason of each contender."""


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What is asked for, with every choice made that does not depend on speed.

    Attributes:
        graph: What to run.
        request: With the device resolved.
        plans: Where the backends keep what they compile.
        probes: What the contenders are tried on.
        backends: The known backends.
        contenders: Who takes part.
    """

    graph: Graph
    request: EngineRequest
    plans: PlanStore
    probes: Probes
    backends: Mapping[str, Backend]
    contenders: Sequence[Contender]

    def build(self, contender: Contender) -> Engine:
        """Build the engine of one contender.

        Raises:
            EngineError: It could not be built.
        """
        precision = contender.precision or self.request.precision
        request = dataclasses.replace(self.request, precision=precision)
        try:
            return build_engine(
                contender.backend, self.graph, request, self.plans, backends=self.backends
            )
        except _FAULTS_OF_LIBRARIES as exc:
            msg = f"{type(exc).__name__}: {exc}"
            raise EngineError(msg) from exc


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Who won.

    Attributes:
        engine: The winner, ready to run.
        rejected: Why not, by the name of each other contender.
        may_change: Somebody lost for a reason that may pass.
    """

    engine: Engine
    rejected: Mapping[str, str]
    may_change: bool


def hold(contest: Contest, attempts: Attempts) -> Outcome:
    """Let everyone run; close all but the winner.

    Raises:
        NoBackendError: Nobody can run the graph.
    """
    rejected: dict[str, str] = {}
    ready: dict[Contender, Engine] = {}
    may_change = False
    probes = [probe[: contest.request.max_batch] for probe in contest.probes()]
    wanted = _reference(contest.graph, probes)
    for contender in contest.contenders:
        fault = attempts.find_fault(str(contender))
        if fault is not None:
            rejected[str(contender)] = fault
            continue
        try:
            with attempts.trying(str(contender)):
                ready[contender] = _checked(contest, contender, probes, wanted)
        except NoSuchBackendError as exc:
            rejected[str(contender)] = str(exc)
        except EngineError as exc:
            may_change |= isinstance(exc, PlanError)
            rejected[str(contender)] = str(exc)
    if not ready:
        raise NoBackendError(_nobody(contest.graph, rejected))
    try:
        winner, reasons = _fastest(ready, probes)
    except (EngineError, RuntimeError) as exc:
        # Together they may lack the memory that each has alone. They stand in the order of
        # the speed that is expected of them.
        winner, reasons = next(iter(ready)), dict.fromkeys(ready, f"not raced: {exc}")
        may_change = True
    for contender, engine in ready.items():
        if contender != winner:
            rejected[str(contender)] = reasons[contender]
            engine.close()
    return Outcome(ready[winner], rejected, may_change)


def _fastest(
    ready: Mapping[Contender, Engine], probes: Sequence[torch.Tensor]
) -> tuple[Contender, dict[Contender, str]]:
    """Return the winner of a race, and why the others are not."""
    times_s = _race(ready, probes)
    winner = _winner({each: (ready[each].spec.precision, times_s[each]) for each in ready})
    reasons = {
        each: f"takes {times_s[each] / times_s[winner]:.2f} times as long"
        for each in ready
        if each != winner
    }
    return winner, reasons


def build_again(contest: Contest, contender: Contender) -> Engine:
    """Return the engine of who won before. It may be a new plan, so it must agree once more.

    Raises:
        EngineError: It cannot be built, does not run, or does not agree.
    """
    probes = [probe[: contest.request.max_batch] for probe in contest.probes()]
    return _checked(contest, contender, probes, _reference(contest.graph, probes))


def _reference(graph: Graph, probes: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    try:
        with torch.inference_mode():
            outputs: tuple[torch.Tensor, ...] = graph.module(*probes)
    except RuntimeError as exc:  # what torch raises for lack of memory
        raise NoBackendError(_nobody(graph, {"torch": str(exc)})) from exc
    return outputs


def _checked(
    contest: Contest,
    contender: Contender,
    probes: Sequence[torch.Tensor],
    wanted: Sequence[torch.Tensor],
) -> Engine:
    """Return the contender's engine, which agrees with PyTorch.

    Raises:
        EngineError: It cannot be built, does not run, or does not agree.
    """
    engine = contest.build(contender)
    try:
        fault = _disagreement(contest.graph, engine, probes, wanted)
    except _FAULTS_OF_LIBRARIES as exc:
        fault = str(exc)
    if fault is not None:
        engine.close()
        raise EngineError(fault)
    return engine


def _disagreement(
    graph: Graph, engine: Engine, probes: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]
) -> str | None:
    for batch in {1, len(probes[0])}:  # a plan may be right for one and wrong for the other
        found = engine.run(*(probe[:batch] for probe in probes))
        errors = compare(graph.outputs, found, [each[:batch] for each in wanted])
        fault = find_fault(errors, engine.spec.precision)
        if fault is not None:
            return f"does not agree with PyTorch: {fault}"
    return None


def _race(
    engines: Mapping[Contender, Engine], probes: Sequence[torch.Tensor]
) -> dict[Contender, float]:
    """Return the median time of each, in seconds."""
    if len(engines) == 1:
        return dict.fromkeys(engines, 0.0)

    def runner(engine: Engine) -> Callable[[], object]:
        # The copy waits for a device that works on by itself.
        return lambda: [output.cpu() for output in engine.run(*probes)]

    times_s = interleave(
        {contender: runner(engine) for contender, engine in engines.items()},
        seconds=_RACE_S,
        rounds=_ROUNDS,
        hopeless=_HOPELESS,
    )
    return {contender: statistics.median(each) for contender, each in times_s.items()}


def _winner(results: Mapping[Contender, tuple[Precision, float]]) -> Contender:
    """Return the fastest; less exact arithmetic must be worth it."""
    ranked = sorted(results, key=lambda each: results[each][1])
    winner, winner_s = ranked[0], float("inf")
    for precision in _EXACTNESS:
        for contender in ranked:
            found, time_s = results[contender]
            if found == precision and time_s < _WORTHWHILE * winner_s:
                winner, winner_s = contender, time_s
                break
    return winner


def _nobody(graph: Graph, rejected: Mapping[str, str]) -> str:
    reasons = "; ".join(f"{name}: {why}" for name, why in rejected.items())
    return f"no backend runs {graph.name!r} here: {reasons or 'there is none'}"
