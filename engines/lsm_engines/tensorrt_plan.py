"""The plan of a graph in TensorRT: what it is tied to, and what to do when it does not load.

Library, GPU and driver are in its key: the store builds it anew when one of them has changed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lsm_engines.api import EngineError, Graph, Precision
from lsm_engines.export import onnx_file
from lsm_engines.plan_key import PlanKey
from lsm_engines.tensorrt_build import build_plan
from lsm_engines.tensorrt_library import Library

if TYPE_CHECKING:
    from lsm_engines.plans import PlanStore

logger = logging.getLogger(__name__)

_NONE = "none"  # the GPU and driver of a machine without
_DRIVER_VERSION = Path("/sys/module/nvidia/version")
# TensorRT takes a whole transformer for one layer, so what that works with is scratch memory.
# Half of the GPU's memory; for a GPU that is not there, what most have.
_WORKSPACE_SHARE = 0.5
_WORKSPACE_BYTES = 8 << 30


class Plan:
    """The plan of a graph: where it is, and how to load it.

    Attributes:
        library: Builds and loads it.
        graph: What it computes.
        precision: Arithmetic inside.
        max_batch: Largest batch that it takes.
    """

    def __init__(
        self,
        library: Library,
        graph: Graph,
        plans: PlanStore,
        precision: Precision,
        max_batch: int,
    ) -> None:
        self.library = library
        self.graph = graph
        self.precision = precision
        self.max_batch = max_batch
        self._plans = plans
        self._is_new = False

    def obtain(self) -> Path:
        """Return its file, building it if needed.

        Raises:
            EngineError: It cannot be built.
        """
        fields = {
            "fingerprint": self.graph.fingerprint,
            "inputs": str(dict(self.graph.inputs)),
            "precision": self.precision,
            "max_batch": str(self.max_batch),
            "device": "cuda",
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else _NONE,
            "driver": _driver_version(),
            self.library.name: self.library.version,
        }
        return self._plans.obtain(
            PlanKey(self.graph.name, self.library.name, fields), self._build
        )

    def load(self, runtime: Any) -> tuple[Any, Path]:  # noqa: ANN401 - the library has no type hints
        """Return the library's engine and its file; one that cannot be loaded is built anew.

        Args:
            runtime: The library's ``Runtime``.

        Raises:
            EngineError: The plan cannot be built, or not loaded although it is new.
        """
        path = self.obtain()
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None and not self._is_new:
            logger.warning(
                "%s cannot load %s (%s): it is built anew",
                self.library,
                path,
                self.library.reasons.take(),
            )
            self._remove(path)
            path = self.obtain()
            engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            msg = (
                f"{self.library} cannot load {path}, which it has just built "
                f"({self.library.reasons.take()}); check that it supports this GPU and driver "
                f"{_driver_version()}, or use the backend torch"
            )
            raise EngineError(msg)
        return engine, path

    def _remove(self, path: Path) -> None:
        """Remove the file, or the store would return it again."""
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            msg = f"{path} is damaged and cannot be removed ({exc.strerror}); remove it"
            raise EngineError(msg) from exc

    def _build(self, path: Path) -> None:
        self._is_new = True
        build_plan(
            self.library,
            onnx_file(self.graph, self._plans),
            path,
            precision=self.precision,
            max_batch=self.max_batch,
            workspace_bytes=_workspace_bytes(),
        )


def _driver_version() -> str:
    try:
        return _DRIVER_VERSION.read_text().strip()
    except OSError:
        return _NONE


def _workspace_bytes() -> int:
    if not torch.cuda.is_available():
        return _WORKSPACE_BYTES
    total: int = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return int(total * _WORKSPACE_SHARE)
