"""Logs: one line per event on stderr, structured, and free of credentials.

Modules log through the standard library; structlog renders. The filter sees every value of the
record, formatted message and traceback included, because a secret can hide in any argument of
any library; and it sees them before they are rendered, so it cannot damage the line's syntax.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Literal

import structlog

_CHAIN: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record as one line and removes what must not be read.

    Args:
        fmt: ``logfmt`` or ``json``.
        redact: Returns its argument without credentials.
    """

    def __init__(self, fmt: Literal["logfmt", "json"], redact: Callable[[str], str]) -> None:
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


def configure(
    *,
    level: str,
    fmt: Literal["logfmt", "json"],
    redact: Callable[[str], str],
) -> None:
    """Send all logs to stderr. To be called once, by the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(fmt, redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The broker of the demo tells its life at INFO; nobody asked for it.
    for chatty in ("amqtt", "transitions", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
