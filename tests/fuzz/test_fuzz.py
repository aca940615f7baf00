"""Runs ``alone.py`` in a process of its own.

The harness sets an audit hook, which no process gets rid of again.
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
