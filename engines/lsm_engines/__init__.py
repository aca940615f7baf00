"""Inference engines: one small interface, several runtimes."""

import os

from lsm_engines.api import Engine, EngineError, EngineRequest, EngineSpec, Graph
from lsm_engines.registry import build_engine

__all__ = ["Engine", "EngineError", "EngineRequest", "EngineSpec", "Graph", "build_engine"]

# ONNX Runtime's wheels report to their maker what they run, unless told not to before they are
# imported: 1.31 keeps an id of this machine and a list of events to send in the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
