"""A bundle's graphs on one backend after the other: what ``check`` and ``bench`` compare."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from lsm_engines import Engine, EngineRequest, Graph, build_engine
from lsm_engines.api import Precision
from lsm_engines.choose import AUTO, choose_engine
from lsm_engines.contest import CONTENDERS, Contender, Probes
from lsm_engines.plans import PlanStore
from lsm_engines.registry import BACKENDS, installed_version
from lsm_monitor.inference.engines import ModelEngines, ModelGraphs, build_engines
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.model.bundle import Manifest, load_bundle
from lsm_monitor.types import ModelIdentity


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A bundle and its graphs."""

    manifest: Manifest
    graphs: ModelGraphs


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """The graphs on one backend, and the segmenter that uses them."""

    contender: Contender
    engines: ModelEngines
    segmenter: Segmenter


def load_parts(bundle: str) -> Parts:
    """Return the bundle ``bundle``, a shipped name or a path.

    Raises:
        BundleError: It cannot be used.
        WeightsError: The official checkpoint that it builds on cannot be used.
    """
    loaded = load_bundle(bundle)
    return Parts(loaded.manifest, ModelGraphs.of(loaded.model))


def resolve_device(device: str) -> str:
    """Return ``cuda`` or ``cpu`` for ``auto``."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def contenders_of(
    device: str, backends: Sequence[str], precision: Precision | None
) -> tuple[list[Contender], dict[str, str]]:
    """Return who is to be compared, and why others are not.

    Args:
        device: ``cpu`` or ``cuda``.
        backends: Names, of which ``auto`` is what the daemon would choose; empty for all
            but that.
        precision: Admits no other; ``None`` for all that make sense on the device.

    Returns:
        The contenders whose library is installed, and for the other backends a reason.
    """
    wanted = backends or tuple(BACKENDS)
    rejected: dict[str, str] = {}
    for name in wanted:
        if name == "auto":
            continue
        backend = BACKENDS[name]
        if device not in backend.devices:
            rejected[name] = f"does not run on {device}"
        elif installed_version(backend) is None:
            rejected[name] = f"not installed; run: {backend.install}"
    known = [each for each in CONTENDERS[device] if each.backend in wanted]
    if precision is not None:
        names = dict.fromkeys(each.backend for each in known)
        known = [Contender(name, precision) for name in names]
    if "auto" in wanted:
        known.append(Contender("auto", precision))
    return [each for each in known if each.backend not in rejected], rejected


@contextmanager
def opened(
    parts: Parts, contender: Contender, request: EngineRequest, plans: PlanStore
) -> Iterator[Ready]:
    """Build the graphs on one backend; they are closed at the end of the block.

    Raises:
        EngineError: That is not possible here.
    """
    engines = build_engines(
        parts.graphs,
        _build,
        backend=contender.backend,
        request=dataclasses.replace(request, precision=contender.precision),
        plans=plans,
    )
    spec, manifest, model = engines.encoder.spec, parts.manifest, parts.graphs.model
    # A head that runs in PyTorch is moved to the device; others may need it on the CPU.
    model = model if spec.device == "cpu" else copy.deepcopy(model)
    segmenter = Segmenter(
        encoder=engines.encoder,
        head=engines.head,
        model=model,
        water_rule=manifest.water_rule,
        identity=ModelIdentity(
            manifest.name,
            manifest.version,
            manifest.weights.sha256,
            f"{spec.backend}-{spec.precision}",
        ),
    )
    try:
        yield Ready(Contender(spec.backend, spec.precision), engines, segmenter)
    finally:
        segmenter.close()


def _build(
    backend: str,
    graph: Graph,
    request: EngineRequest,
    plans: PlanStore,
    probes: Probes | None = None,
) -> Engine:
    """Build what is asked for and nothing in its place."""
    if backend == AUTO:
        return choose_engine(graph, request, plans, probes).engine
    return build_engine(backend, graph, request, plans)
