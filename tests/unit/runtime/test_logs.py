from __future__ import annotations

import json
import logging
import sys
from typing import Literal

import pytest

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.runtime.logs import RedactingFormatter

SECRET = "hunter2"


def record(message: str, *args: object, failed: bool = False) -> logging.LogRecord:
    exc_info = None
    if failed:
        try:
            int(f"rtsp://u:{SECRET}@cam")
        except ValueError:
            exc_info = sys.exc_info()
    return logging.LogRecord("lsm.x", logging.INFO, "f.py", 1, message, args, exc_info)


def hide(text: str) -> str:
    return text.replace("hunter2", "***")


@pytest.mark.parametrize("fmt", ["logfmt", "json"])
def test_a_secret_is_removed_from_arguments_and_tracebacks(
    fmt: Literal["logfmt", "json"],
) -> None:
    line = RedactingFormatter(fmt, hide).format(record("opened %s", "hunter2", failed=True))
    assert "hunter2" not in line
    assert line.count("***") == 2


def test_a_record_is_one_line_even_with_a_traceback() -> None:
    line = RedactingFormatter("logfmt", hide).format(record("two\nlines", failed=True))
    assert "\n" not in line


def test_json_lines_carry_level_logger_time_and_event() -> None:
    line = json.loads(RedactingFormatter("json", hide).format(record("camera %r up", "a")))
    assert (line["level"], line["logger"], line["event"]) == ("info", "lsm.x", "camera 'a' up")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("fmt", ["logfmt", "json"])
def test_removing_a_query_does_not_damage_the_line(fmt: Literal["logfmt", "json"]) -> None:
    redact = Redactor([]).redact
    line = RedactingFormatter(fmt, redact).format(record("opened rtsp://h/p?token=x"))
    assert "token" not in line
    if fmt == "json":
        assert json.loads(line)["event"] == "opened rtsp://h/p"
    else:
        assert line.endswith('event="opened rtsp://h/p"')
