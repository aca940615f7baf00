"""TensorRT and TensorRT for RTX: two libraries with one interface.

Both return ``None`` or ``False`` for errors and say why to their logger only. Here that logger
writes to Python's ``logging`` and remembers errors, so that an exception can give the reason.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections import deque
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lsm_engines.api import EngineError

_logger = logging.getLogger(__name__)

_MAX_REASONS = 8


class Reasons:
    """What the library has complained about since somebody asked; the oldest are forgotten."""

    def __init__(self) -> None:
        self._messages: deque[str] = deque(maxlen=_MAX_REASONS)

    def add(self, message: str) -> None:
        """Remember an error."""
        self._messages.append(" ".join(message.split()))

    def take(self) -> str:
        """Return and forget them, in a line."""
        text = "; ".join(self._messages)
        self._messages.clear()
        return text or "it gives no reason"


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """One of the two, imported.

    Attributes:
        name: ``tensorrt`` or ``tensorrt_rtx``.
        module: The library; it has no type hints.
        log: Its logger.
        reasons: What went wrong.
    """

    name: str
    module: ModuleType
    log: Any
    reasons: Reasons

    @property
    def version(self) -> str:
        """Version of the library."""
        return str(self.module.__version__)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def create(self, class_name: str) -> Any:  # noqa: ANN401 - one of the library's objects
        """Return a ``Builder`` or a ``Runtime``.

        Raises:
            EngineError: The library cannot do so here.
        """
        self.reasons.take()
        try:
            return getattr(self.module, class_name)(self.log)
        except TypeError as exc:  # pybind11's word for a null pointer
            msg = (
                f"{self} cannot make a {class_name}: {self.reasons.take()}; check that "
                "there is a GPU with a driver that is new enough, or use the backend torch"
            )
            raise EngineError(msg) from exc


# Once for a process: TensorRT keeps a pointer to the first logger that it is given.
@functools.cache
def load_library(name: str) -> Library:
    """Import ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        EngineError: It cannot be imported.
    """
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as exc:  # OSError: a shared library is not there
        msg = f"{name} cannot be imported ({exc}); `lsm-engines info` says how to install it"
        raise EngineError(msg) from exc
    reasons = Reasons()
    return Library(name, module, _new_log(module, reasons), reasons)


def _new_log(module: Any, reasons: Reasons) -> Any:  # noqa: ANN401 - the library's own class
    severity = module.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.DEBUG,  # memory and timing of each plan
    }  # without VERBOSE: thousands of lines for a plan

    class Log(module.ILogger):  # type: ignore[misc]  # it has no type
        def __init__(self) -> None:
            module.ILogger.__init__(self)  # pybind11 wants the class by its name

        def log(self, severity: object, message: str) -> None:
            level = levels.get(severity)
            if level is None:
                return
            if level == logging.ERROR:
                reasons.add(message)
            _logger.log(level, "%s: %s", module.__name__, message.strip())

    return Log()
