"""Backends by name.

Each backend is one module with a function ``build_engine``; the module, and with it the heavy
library it needs, is imported when someone asks for the backend and not before.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from lsm_engines.api import EncoderEngine, EngineError, EngineRequest

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a backend lives and what it needs.

    Attributes:
        module: Module of this package that has ``build_engine``.
        library: Import name of the library it needs.
        install: Command that installs it.
    """

    module: str
    library: str
    install: str


# In the order in which ``auto`` prefers them.
BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {"torch": Backend("lsm_engines.torch_engine", "torch", "pip install torch")}
)


class EngineFactory(Protocol):
    """``build_engine`` of a backend's module."""

    def __call__(self, encoder: nn.Module, request: EngineRequest) -> EncoderEngine:
        """Make ``encoder`` ready to run."""
        ...


def installed_version(backend: Backend) -> str | None:
    """Return the version of the backend's library, or ``None`` when it is not installed."""
    if importlib.util.find_spec(backend.library) is None:
        return None
    return importlib.metadata.version(backend.library)


def build_engine(
    name: str,
    encoder: nn.Module,
    request: EngineRequest,
    *,
    backends: Mapping[str, Backend] = BACKENDS,
) -> EncoderEngine:
    """Make ``encoder`` ready to run on the backend ``name``.

    Args:
        name: Key of ``backends``, or ``auto`` for the first that is installed.
        encoder: Two (B, 3, S, S) float32, see :meth:`EncoderEngine.encode` -> tuple of
            (B, C, h, w) float32.
        request: Size, device, threads and batch.
        backends: The known backends.

    Raises:
        EngineError: The backend is unknown, not installed, or cannot serve the request.
    """
    backend = backends[_resolve(name, backends)]
    module = importlib.import_module(backend.module)
    # A module attribute has no static type; the backend's parity test holds it to the protocol.
    factory = cast("EngineFactory", module.build_engine)
    return factory(encoder, request)


def _resolve(name: str, backends: Mapping[str, Backend]) -> str:
    """Return the name of an installed backend."""
    if name == "auto":
        for candidate, backend in backends.items():
            if installed_version(backend) is not None:
                return candidate
        hints = "; ".join(f"{key}: {backend.install}" for key, backend in backends.items())
        msg = f"no engine backend is installed; install one ({hints})"
        raise EngineError(msg)
    if name not in backends:
        msg = f"unknown engine backend {name!r}; known are auto, {', '.join(backends)}"
        raise EngineError(msg)
    if installed_version(backends[name]) is None:
        msg = f"engine backend {name!r} is not installed; run: {backends[name].install}"
        raise EngineError(msg)
    return name
