"""``backend: auto``: which backend runs a graph best on this machine.

Everything that is installed is built, must agree with PyTorch on the caller's tensors, and is
timed against the others; the fastest stays. What was found is kept beside the plans, so that
the next start builds the winner alone. A backend that fails only loses: PyTorch, which needs
no plan and no other library, is always among the contenders.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from lsm_engines.api import Engine, EngineError, EngineRequest, Graph, Precision
from lsm_engines.attempts import Attempts
from lsm_engines.benchmark import interleave
from lsm_engines.machine import this_machine, usable_cores
from lsm_engines.parity import compare, find_fault
from lsm_engines.plan_key import PlanKey
from lsm_engines.plans import PlanStore
from lsm_engines.registry import BACKENDS, Backend, build_engine, installed_version

logger = logging.getLogger(__name__)

_ROUNDS = 9
_RACE_S = 10.0
"""A race is over after so many rounds, or so long."""
_HOPELESS = 3.0
"""Who takes so many times as long as the fastest leaves the race."""
_WORTHWHILE = 0.9
"""Less exact arithmetic must take less than this share of the time of more exact one."""
_EXACTNESS: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")


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


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What runs the graph, and why nothing else does.

    Attributes:
        engine: The winner, ready to run.
        rejected: Why not, by the name of each other contender.
        is_remembered: It was found at an earlier start.
    """

    engine: Engine
    rejected: Mapping[str, str]
    is_remembered: bool

    def __str__(self) -> str:
        """Return it in a line."""
        spec = self.engine.spec
        how = "remembered" if self.is_remembered else "the fastest here"
        others = "; ".join(f"not {name}: {why}" for name, why in self.rejected.items())
        return f"{spec.graph} on {spec.backend}-{spec.precision} ({how}); {others}"


class NoBackendError(EngineError):
    """Nothing can run the graph here; the text has the reason of each contender."""


@dataclass(frozen=True, slots=True, eq=False)
class _Contest:
    """What is asked for, with every choice made that does not depend on speed."""

    graph: Graph
    request: EngineRequest
    plans: PlanStore
    probes: Sequence[torch.Tensor]
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
        except (ImportError, OSError) as exc:  # a library that is there but does not load
            raise EngineError(str(exc)) from exc

    @property
    def batch(self) -> int:
        """Batch of the race: as large as probes and request allow."""
        return min(len(self.probes[0]), self.request.max_batch)

    @property
    def key(self) -> PlanKey:
        """Everything that the outcome depends on."""
        request = self.request
        threads = request.threads or usable_cores()
        libraries = {
            name: installed_version(self.backends[name]) or "not installed"
            for name in dict.fromkeys(each.backend for each in self.contenders)
        }
        fields = {
            "fingerprint": self.graph.fingerprint,
            "device": request.device,
            "precision": request.precision or "any",
            "max_batch": str(request.max_batch),
            "threads": str(threads),
            "machine": str(this_machine()),
            **libraries,
        }
        return PlanKey(self.graph.name, "choice", fields)


def choose_engine(
    graph: Graph,
    request: EngineRequest,
    plans: PlanStore,
    probes: Sequence[torch.Tensor] | None = None,
    *,
    backends: Mapping[str, Backend] = BACKENDS,
    contenders: Mapping[str, Sequence[Contender]] = CONTENDERS,
) -> Choice:
    """Return the engine that runs ``graph`` best here.

    Args:
        graph: What to run.
        request: Device, threads, batch and arithmetic. A device ``auto`` is ``cuda`` where
            there is one. A precision admits only contenders that have it.
        plans: Where the backends keep what they compile, and this the outcome.
        probes: (B, ...) float32 on the CPU for each of the graph's inputs, as real as
            possible: a contender must agree with PyTorch on them. Random numbers by default.
        backends: The known backends.
        contenders: Who takes part, by device.

    Raises:
        NoBackendError: Nothing can run the graph here.
        EngineError: The device is unknown.
    """
    device = request.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in contenders:
        msg = f"unknown device {device!r}; use auto, {' or '.join(contenders)}"
        raise EngineError(msg)
    contest = _Contest(
        graph,
        dataclasses.replace(request, device=device),
        plans,
        noise(graph) if probes is None else probes,
        backends,
        [
            each
            for each in contenders[device]
            if each.backend in backends
            and (request.precision is None or each.precision in {None, request.precision})
        ],
    )
    choice = _recall_or_hold(contest)
    logger.info("%s", choice)
    return choice


def noise(graph: Graph, batch: int = 2) -> tuple[torch.Tensor, ...]:
    """Return random inputs of a graph, always the same: probes for want of better ones."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(batch, *shape, generator=generator) for shape in graph.inputs.values()
    )


def _recall_or_hold(contest: _Contest) -> Choice:
    """Return the remembered choice, else the outcome of a new contest, which is kept."""
    held: list[Choice] = []

    def hold(path: Path) -> None:
        # Notes must outlive the folder in which a plan is built; its parent is locked for us.
        held.append(_hold(contest, Attempts(path.parent.parent)))
        path.write_text(_memory_text(held[0]))

    try:
        path = contest.plans.obtain(contest.key, hold)
        if not held:
            recalled = _recall(contest, path)
            if recalled is not None:
                return recalled
            path.unlink()  # then it is absent, and found anew
            contest.plans.obtain(contest.key, hold)
    except NoBackendError:
        raise
    except (EngineError, OSError) as exc:
        name = contest.graph.name
        logger.warning("%s: which backend is best cannot be remembered: %s", name, exc)
    return held[0] if held else _hold(contest, Attempts(None))


def _memory_text(choice: Choice) -> str:
    spec = choice.engine.spec
    memory = {"backend": spec.backend, "precision": spec.precision}
    return json.dumps({**memory, "rejected": dict(choice.rejected)}, indent=1) + "\n"


def _recall(contest: _Contest, path: Path) -> Choice | None:
    """Build the winner of an earlier start; ``None`` when that is not possible."""
    try:
        memory = json.loads(path.read_bytes())
        winner = Contender(memory["backend"], memory["precision"])
        rejected = {str(name): str(why) for name, why in memory["rejected"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    try:
        with Attempts(path.parent).trying(str(winner)):
            return Choice(contest.build(winner), rejected, is_remembered=True)
    except EngineError as exc:
        name = contest.graph.name
        logger.warning("%s: %s was best, but no longer works: %s", name, winner, exc)
        return None


def _hold(contest: _Contest, attempts: Attempts) -> Choice:
    """Let everyone run; close all but the winner."""
    rejected: dict[str, str] = {}
    ready: dict[Contender, Engine] = {}
    with torch.inference_mode():
        wanted = contest.graph.module(*contest.probes)
    for contender in contest.contenders:
        try:
            with attempts.trying(str(contender)):
                ready[contender] = _checked(contest, contender, wanted)
        except EngineError as exc:
            rejected[str(contender)] = str(exc)
    if not ready:
        reasons = "; ".join(f"{name}: {why}" for name, why in rejected.items())
        msg = f"no backend runs {contest.graph.name!r} here: {reasons or 'there is none'}"
        raise NoBackendError(msg)
    times_s = _race(contest, ready)
    winner = _winner({each: (ready[each].spec.precision, times_s[each]) for each in ready})
    for contender, engine in ready.items():
        if contender != winner:
            ratio = times_s[contender] / times_s[winner]
            rejected[str(contender)] = f"takes {ratio:.2f} times as long"
            engine.close()
    return Choice(ready[winner], rejected, is_remembered=False)


def _checked(contest: _Contest, contender: Contender, wanted: Sequence[torch.Tensor]) -> Engine:
    """Return the contender's engine, which agrees with PyTorch.

    Raises:
        EngineError: It cannot be built, does not run, or does not agree.
    """
    engine = contest.build(contender)
    fault = None
    try:
        for batch in {1, contest.batch}:  # a plan may be right for one and wrong for the other
            found = engine.run(*(probe[:batch] for probe in contest.probes))
            errors = compare(contest.graph.outputs, found, [each[:batch] for each in wanted])
            fault = fault or find_fault(errors, engine.spec.precision)
    except ValueError as exc:  # another number of outputs, or of another shape
        fault = str(exc)
    except EngineError:
        engine.close()
        raise
    if fault is not None:
        engine.close()
        msg = f"does not agree with PyTorch: {fault}"
        raise EngineError(msg)
    return engine


def _race(contest: _Contest, engines: Mapping[Contender, Engine]) -> dict[Contender, float]:
    """Return the median time of each, in seconds."""
    inputs = [probe[: contest.batch] for probe in contest.probes]

    def runner(engine: Engine) -> Callable[[], object]:
        # The copy waits for a device that works on by itself.
        return lambda: [output.cpu() for output in engine.run(*inputs)]

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
