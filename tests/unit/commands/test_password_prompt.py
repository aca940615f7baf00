"""A password at a terminal: asked for, and not shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lsm_monitor.web.users import read_users

PROMPT = b"Password: "
PASSWORD = b"hunter2hunter2"
WAIT_S = 60.0


def test_password_file_from_stdin_asks_at_a_terminal_and_hides_what_is_typed(
    tmp_path: Path,
) -> None:
    users = tmp_path / "users.yaml"
    terminal, stdin = os.openpty()
    command = ["users", "add", "ann", "--role", "viewer", "--password-file", "-", "--file"]
    # A session of its own: the terminal of who tests is not asked.
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "lsm_monitor", *command, str(users)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        os.close(stdin)
        try:
            assert process.stderr is not None
            asked = process.stderr.read(len(PROMPT))  # its end comes when nothing is shown
            os.write(terminal, PASSWORD + b"\n")
            _, errors = process.communicate(timeout=WAIT_S)
            os.set_blocking(terminal, False)
            try:
                shown = os.read(terminal, 1000)
            except OSError:  # nothing, or the other end is closed
                shown = b""
        finally:
            process.kill()
            os.close(terminal)
    assert (process.returncode, asked) == (0, PROMPT), errors
    assert PASSWORD not in shown
    assert list(read_users(users)) == ["ann"]
