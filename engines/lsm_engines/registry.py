"""Backends by name.

Each backend is one module with a function ``build_engine``; the module, and with it the heavy
library it needs, is imported when someone asks for the backend and not before.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, cast

from lsm_engines.api import Engine, EngineError, EngineRequest, Graph, NoSuchBackendError
from lsm_engines.plans import PlanStore


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a backend lives and what it needs.

    Attributes:
        module: Module of this package that has ``build_engine``.
        library: Import name of the library it needs.
        install: Command that installs it.
        devices: What it can run on, in torch's words.
        arguments: What ``build_engine`` of a module that serves several backends must be told.
    """

    module: str
    library: str
    install: str
    devices: tuple[str, ...]
    arguments: Mapping[str, str] = field(default_factory=dict)


BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "torch": Backend(
            "lsm_engines.torch_engine", "torch", "pip install torch", devices=("cpu", "cuda")
        ),
        "onnxruntime": Backend(
            "lsm_engines.onnxruntime_engine",
            "onnxruntime",
            "pip install onnxruntime  # or onnxruntime-gpu",
            devices=("cpu", "cuda"),
        ),
        "openvino": Backend(
            "lsm_engines.openvino_engine",
            "openvino",
            "pip install 'lsm-monitor[openvino]'",
            devices=("cpu",),
        ),
        "tensorrt": Backend(
            "lsm_engines.tensorrt_engine",
            "tensorrt",
            "pip install 'lsm-monitor[gpu]'",
            devices=("cuda",),
            arguments={"library": "tensorrt"},
        ),
        "tensorrt_rtx": Backend(
            "lsm_engines.tensorrt_engine",
            "tensorrt_rtx",
            "pip install 'lsm-monitor[rtx]'",
            devices=("cuda",),
            arguments={"library": "tensorrt_rtx"},
        ),
    }
)


class EngineFactory(Protocol):
    """``build_engine`` of a backend's module."""

    def __call__(
        self, graph: Graph, request: EngineRequest, plans: PlanStore, **arguments: str
    ) -> Engine:
        """Make ``graph`` ready to run."""
        ...


def installed_version(backend: Backend) -> str | None:
    """Return the version of the backend's library, or ``None`` when it is not installed."""
    if importlib.util.find_spec(backend.library) is None:
        return None
    try:
        return importlib.metadata.version(backend.library)
    except importlib.metadata.PackageNotFoundError:
        # The distribution has another name: onnxruntime-gpu, tensorrt_rtx_cu13.
        names = importlib.metadata.packages_distributions().get(backend.library, ())
        return importlib.metadata.version(names[0]) if names else "unknown"


def build_engine(
    name: str,
    graph: Graph,
    request: EngineRequest,
    plans: PlanStore,
    *,
    backends: Mapping[str, Backend] = BACKENDS,
) -> Engine:
    """Make ``graph`` ready to run on the backend ``name``.

    Args:
        name: Key of ``backends``.
        graph: What to run.
        request: Device, threads, batch and arithmetic.
        plans: Where the backend keeps what it compiles.
        backends: The known backends.

    Raises:
        NoSuchBackendError: The backend is unknown or not installed.
        EngineError: It cannot serve the request.
    """
    backend = find_backend(name, backends)
    try:
        module = importlib.import_module(backend.module)
    except (ImportError, OSError) as exc:  # OSError: of a shared library
        msg = f"engine backend {name!r} is installed but does not load: {exc}"
        raise EngineError(msg) from exc
    # A module attribute has no static type; the backend's parity test holds it to the protocol.
    factory = cast("EngineFactory", module.build_engine)
    return factory(graph, request, plans, **backend.arguments)


def find_backend(name: str, backends: Mapping[str, Backend] = BACKENDS) -> Backend:
    """Return the backend ``name``.

    Raises:
        NoSuchBackendError: It is unknown or not installed.
    """
    if name not in backends:
        msg = f"unknown engine backend {name!r}; known are auto, {', '.join(backends)}"
        raise NoSuchBackendError(msg)
    backend = backends[name]
    if importlib.util.find_spec(backend.library) is None:
        msg = f"engine backend {name!r} is not installed; run: {backend.install}"
        raise NoSuchBackendError(msg)
    return backend
