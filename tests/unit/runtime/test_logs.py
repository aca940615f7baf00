from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.runtime.logs import RedactingFormatter, is_journal

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


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<2>"),
        (35, "<4>"),
    ],
)
def test_the_journal_is_told_the_priority_of_each_line(level: int, prefix: str) -> None:
    entry = record("x")
    entry.levelno = level
    formatter = RedactingFormatter("logfmt", hide, with_priority=True)
    assert formatter.format(entry).startswith(f"{prefix}timestamp=")


def test_only_the_stream_that_systemd_connected_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as journal, (tmp_path / "b").open("w") as other:
        status = os.fstat(journal.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(journal, environ)
        assert not is_journal(other, environ)
        assert not is_journal(journal, {})
    assert not is_journal(journal, environ)  # closed
    assert not is_journal(io.StringIO(), environ)


LOGGING_CHILD = """
import logging
from lsm_monitor.runtime.logs import configure
configure(level="info", fmt="logfmt", redact=lambda text: text.replace("hunter2", "***"))
for number in range(5):
    logging.getLogger("x").warning("no answer from hunter2 for %.1f s", number / 10)
"""


def test_what_was_folded_is_told_at_the_end_of_the_process_and_redacted() -> None:
    command = [sys.executable, "-c", LOGGING_CHILD]
    child = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    first, last = child.stderr.splitlines()
    assert first.endswith('event="no answer from *** for 0.0 s"')
    assert last.endswith('event="no answer from *** for 0.4 s (4 times more within 300 s)"')
