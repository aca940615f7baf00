"""Encoder engines: one small interface, several runtimes."""

from lsm_engines.api import EncoderEngine, EngineError, EngineRequest, EngineSpec
from lsm_engines.registry import build_engine

__all__ = ["EncoderEngine", "EngineError", "EngineRequest", "EngineSpec", "build_engine"]
