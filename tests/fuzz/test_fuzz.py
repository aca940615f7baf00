"""Runs ``alone.py`` in a process of its own.

The harness sets an audit hook, which no process gets rid of again, and interrupts with
SIGALRM. After the tests of the engines in one process, that signal ended the process (SIGSEGV
while it was delivered, in some of the runs; which native library is to blame is not known).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
def test_hostile_input_gets_an_error_and_nothing_else() -> None:
    alone = Path(__file__).with_name("alone.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(alone)]
    result = subprocess.run(  # noqa: S603 - ourselves
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
