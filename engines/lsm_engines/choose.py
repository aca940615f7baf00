"""``backend: auto``, and what becomes of a backend that somebody asked for by name.

The outcome of a contest is kept beside the plans, so that the next start builds the winner
alone. PyTorch, which needs no plan and no other library, is the last resort: of a backend that
breaks the daemon learns from a warning.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lsm_engines.api import Engine, EngineError, EngineRequest, Graph, PlanError
from lsm_engines.attempts import Attempts
from lsm_engines.contest import (
    CONTENDERS,
    Contender,
    Contest,
    NoBackendError,
    Outcome,
    Probes,
    build_again,
    hold,
)
from lsm_engines.machine import this_machine, usable_cores
from lsm_engines.plan_key import PlanKey
from lsm_engines.plans import PlanStore
from lsm_engines.registry import (
    BACKENDS,
    Backend,
    build_engine,
    find_backend,
    installed_version,
)

logger = logging.getLogger(__name__)

AUTO = "auto"
_LAST_RESORT = "torch"


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
        how = "found at an earlier start" if self.is_remembered else "found now"
        others = "".join(f"; not {name}: {why}" for name, why in self.rejected.items())
        return f"{spec.graph} runs on {spec.backend}-{spec.precision} ({how}){others}"


def prefer_engine(
    backend: str,
    graph: Graph,
    request: EngineRequest,
    plans: PlanStore,
    probes: Probes | None = None,
    *,
    backends: Mapping[str, Backend] = BACKENDS,
) -> Engine:
    """Return the engine of ``backend`` if it works here, else PyTorch's: one that works.

    Args:
        backend: Key of ``backends``, or ``auto`` for :func:`choose_engine`.
        graph: What to run.
        request: Device, threads, batch and arithmetic.
        plans: Where the backends keep what they compile.
        probes: See :func:`choose_engine`.
        backends: The known backends.

    Raises:
        NoSuchBackendError: The backend is unknown or not installed.
        EngineError: Not even PyTorch can serve the request.
    """
    contenders = CONTENDERS
    if backend != AUTO:
        devices = find_backend(backend, backends).devices
        contenders = {device: (Contender(backend),) for device in CONTENDERS}
        if request.device == "auto" and "cuda" not in devices:
            request = dataclasses.replace(request, device="cpu")
    if backend != _LAST_RESORT:
        try:
            return choose_engine(
                graph,
                request,
                plans,
                probes,
                backends=backends,
                contenders=contenders,
                occasion=backend,
            ).engine
        except NoBackendError as exc:
            logger.warning("%s; %s runs it instead", exc, _LAST_RESORT)
    return build_engine(_LAST_RESORT, graph, request, plans, backends=backends)


def choose_engine(
    graph: Graph,
    request: EngineRequest,
    plans: PlanStore,
    probes: Probes | None = None,
    *,
    backends: Mapping[str, Backend] = BACKENDS,
    contenders: Mapping[str, Sequence[Contender]] = CONTENDERS,
    occasion: str = AUTO,
) -> Choice:
    """Return the engine that runs ``graph`` best here, and say why in the log.

    Args:
        graph: What to run.
        request: Device, threads, batch and arithmetic. A device ``auto`` is ``cuda`` where
            there is one. A precision admits only contenders that have it.
        plans: Where the backends keep what they compile, and this the outcome.
        probes: What a contender must agree with PyTorch on; random numbers by default.
            The winner of an earlier start is not raced again, but must agree again.
        backends: The known backends.
        contenders: Who takes part, by device.
        occasion: Outcomes of different occasions are kept side by side.

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
    contest = Contest(
        graph,
        dataclasses.replace(request, device=device),
        plans,
        probes or (lambda: noise(graph)),
        backends,
        [
            each
            for each in contenders[device]
            if each.backend in backends
            and (request.precision is None or each.precision in {None, request.precision})
        ],
    )
    choice = _recall_or_hold(contest, occasion)
    logger.info("%s", choice)
    return choice


def noise(graph: Graph, batch: int = 2) -> tuple[torch.Tensor, ...]:
    """Return random inputs of a graph, always the same: probes for want of better ones."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(batch, *shape, generator=generator) for shape in graph.inputs.values()
    )


def _recall_or_hold(contest: Contest, occasion: str) -> Choice:
    """Return the remembered choice, else the outcome of a new contest, which is kept."""
    held: list[Outcome] = []

    def find(path: Path) -> None:
        # Notes must outlive the folder in which a plan is built; its parent is locked for us.
        outcome = hold(contest, Attempts(path.parent.parent))
        held.append(outcome)
        if outcome.may_change:
            msg = "a contender could not store its plan"
            raise PlanError(msg)
        path.write_text(_memory_text(outcome))

    key = _memory_key(contest, occasion)
    try:
        path = contest.plans.obtain(key, find)
        if not held:
            recalled = _recall(contest, path)
            if recalled is not None:
                return recalled
            path.unlink()  # then it is absent, and found anew
            contest.plans.obtain(key, find)
    except NoBackendError:
        raise
    except (EngineError, OSError) as exc:
        name = contest.graph.name
        logger.warning("%s: which backend is best is not remembered: %s", name, exc)
    outcome = held[0] if held else hold(contest, Attempts(None))
    return Choice(outcome.engine, outcome.rejected, is_remembered=False)


def _memory_key(contest: Contest, occasion: str) -> PlanKey:
    """Return everything that the outcome depends on."""
    request = contest.request
    libraries = {
        name: installed_version(contest.backends[name]) or "not installed"
        for name in dict.fromkeys(each.backend for each in contest.contenders)
    }
    fields = {
        "fingerprint": contest.graph.fingerprint,
        "device": request.device,
        "precision": request.precision or "any",
        "max_batch": str(request.max_batch),
        "threads": str(request.threads or usable_cores()),
        "machine": str(this_machine()),
        **libraries,
    }
    return PlanKey(contest.graph.name, f"choice-{occasion}", fields)


def _memory_text(outcome: Outcome) -> str:
    spec = outcome.engine.spec
    memory = {"backend": spec.backend, "precision": spec.precision}
    return json.dumps({**memory, "rejected": dict(outcome.rejected)}, indent=1) + "\n"


def _recall(contest: Contest, path: Path) -> Choice | None:
    """Build the winner of an earlier start; ``None`` when that is not possible."""
    try:
        memory = json.loads(path.read_bytes())
        winner = Contender(memory["backend"], memory["precision"])
        rejected = {str(name): str(why) for name, why in memory["rejected"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    attempts = Attempts(path.parent)
    fault = attempts.find_fault(str(winner))
    if fault is None:
        try:
            with attempts.trying(str(winner)):
                engine = build_again(contest, winner)
            return Choice(engine, rejected, is_remembered=True)
        except EngineError as exc:
            fault = str(exc)
    name = contest.graph.name
    logger.warning("%s: %s was best, but no longer works: %s", name, winner, fault)
    return None
