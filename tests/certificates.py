"""A certificate that only its own file vouches for, as most cameras have one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """Both are PEM files; ``chain`` is its own authority."""

    chain: Path
    key: Path


def self_signed(folder: Path, name: str = "IP:127.0.0.1", *, bits: int = 2048) -> Certificate:
    """Return a new certificate for ``name``; skips the test where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = Certificate(folder / "camera.pem", folder / "camera.key")
    command = [openssl, "req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=camera", "-addext", f"subjectAltName={name}"]
    command += ["-keyout", str(made.key), "-out", str(made.chain)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed arguments
    return made
