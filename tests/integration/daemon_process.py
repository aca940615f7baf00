"""The real daemon in a process of its own, as systemd would run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

from tests.integration.brokers import Notes

START_TIMEOUT_S = 60.0


class DaemonProcess:
    """``lsm-monitor run`` on a configuration text; a context manager that kills it.

    Args:
        folder: Gets ``monitor.yaml``, ``state/`` and ``log``.
        config: The YAML text.
        environ: Added to the environment.
    """

    def __init__(
        self, folder: Path, config: str, environ: dict[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._environ = environ or {}
        (folder / "monitor.yaml").write_text(config)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lsm_monitor", "run", "--config", "monitor.yaml"],
                cwd=self._folder,
                env=os.environ | self._environ,
                stderr=log,
                stdout=subprocess.PIPE,
            )

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def wait_for_log(self, text: str) -> None:
        """Return once the log says ``text``; a file has no better way to tell."""
        pause = threading.Event()
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while text not in self.log:
            assert time.monotonic() < deadline_s, f"the log never said {text!r}:\n{self.log}"
            pause.wait(0.05)

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        self.running.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return the exit code once the process has ended by itself."""
        code = self.running.wait(START_TIMEOUT_S)
        self.running.communicate()
        self._process = None
        return code


def events(notes: Notes) -> list[dict[str, object]]:
    """Return the events as a subscriber counts them: repeats by id and number left out."""
    seen: dict[tuple[str, int], dict[str, object]] = {}
    for message in notes.all():
        if message.topic.endswith("/event"):
            event = json.loads(message.payload)
            seen.setdefault((event["event_id"], event["seq"]), event)
    return list(seen.values())


def wait_for_event(notes: Notes, kind: str) -> None:
    wanted = f'"event_type":"{kind}"'.encode()
    notes.wait_until(
        lambda messages: any(
            m.topic.endswith("/event") and wanted in m.payload for m in messages
        ),
        timeout_s=START_TIMEOUT_S,
    )
