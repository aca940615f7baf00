"""Inference engines: one small interface, several runtimes."""

from lsm_engines.api import Engine, EngineError, EngineRequest, EngineSpec, Graph
from lsm_engines.registry import build_engine

__all__ = ["Engine", "EngineError", "EngineRequest", "EngineSpec", "Graph", "build_engine"]
