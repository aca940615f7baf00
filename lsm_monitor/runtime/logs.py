"""Logs: one line per event on stderr, structured, and free of credentials.

Modules log through the standard library; structlog renders. The filter sees every value of the
record, formatted message and traceback included, because a secret can hide in any argument of
any library; and it sees them before they are rendered, so it cannot damage the line's syntax.

Under systemd each line begins with its priority, as sd-daemon(3) has it, so that
``journalctl -p warning`` works; the journal's native protocol would say nothing more.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Literal, TextIO

import structlog

from lsm_monitor.runtime.log_folding import FoldingHandler

_CHAIN: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record as one line and removes what must not be read.

    Args:
        fmt: ``logfmt`` or ``json``.
        redact: Returns its argument without credentials.
        with_priority: Whether each line begins with ``<3>`` for an error and so on.
    """

    def __init__(
        self,
        fmt: Literal["logfmt", "json"],
        redact: Callable[[str], str],
        *,
        with_priority: bool = False,
    ) -> None:
        self._with_priority = with_priority
        renderer: structlog.typing.Processor = (
            structlog.processors.JSONRenderer()
            if fmt == "json"
            else structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "logger", "event"], drop_missing=True
            )
        )
        super().__init__(
            foreign_pre_chain=_CHAIN,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _Redact(redact),
                renderer,
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line = super().format(record)
        return f"<{_priority(record.levelno)}>{line}" if self._with_priority else line


class _Redact:
    """Processor that cleans every text of a record."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def __call__(
        self, _logger: object, _method: str, event_dict: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        return {
            key: self._redact(value) if isinstance(value, str) else value
            for key, value in event_dict.items()
        }


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether ``stream`` goes to systemd's journal.

    A child with a redirected stream inherits the variable, too; so the file is compared.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # ValueError: closed, or not a file
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def configure(
    *,
    level: str,
    fmt: Literal["logfmt", "json"],
    redact: Callable[[str], str],
) -> None:
    """Send all logs to stderr like this from now on, whatever was said before."""
    handler = logging.StreamHandler(sys.stderr)
    with_priority = is_journal(sys.stderr, os.environ)
    handler.setFormatter(RedactingFormatter(fmt, redact, with_priority=with_priority))
    root = logging.getLogger()
    root.handlers[:] = [FoldingHandler(handler)]
    root.setLevel(level.upper())
    # They tell their life at INFO; nobody asked for it.
    for chatty in ("amqtt", "transitions", "asyncio", "watchfiles", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _priority(level: int) -> int:
    """Return syslog's number for a level of :mod:`logging`."""
    return next(number for least, number in _PRIORITIES if level >= least)
