"""Mosquitto, the broker that most cities run, with the settings a test needs."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
OPENSSL = shutil.which("openssl")
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not there: apt-get install mosquitto"
)


@contextlib.contextmanager
def mosquitto(
    port: int, folder: Path | None = None, settings: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """Run mosquitto on loopback, with nothing on disk, and kill it at the end.

    Args:
        port: Where it listens.
        folder: For its configuration; needed with ``settings``.
        settings: Lines of ``mosquitto.conf`` for the listener and the rest.
    """
    assert MOSQUITTO is not None
    command = [MOSQUITTO, "-p", str(port)]  # with -v it would fill the pipe, and stop
    if folder is not None:
        file = folder / f"mosquitto-{port}.conf"
        # Not in a world of its own: as root it would change to a user that reads no key.
        file.write_text(
            f"listener {port} 127.0.0.1\nuser root\nallow_anonymous true\n{settings}\n"
        )
        command = [MOSQUITTO, "-c", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as broker:  # noqa: S603
        assert broker.stderr is not None
        log = []
        for line in broker.stderr:
            log.append(line)
            if line.rstrip().endswith("running"):
                break
        else:
            raise AssertionError("".join(log))
        try:
            yield broker
        finally:
            broker.kill()


class Authority:
    """A certificate authority in a folder: certificates for brokers and for us."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test",
            "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def certify(self, name: str, *, password: str | None = None) -> tuple[Path, Path]:
        """Return a certificate for ``name`` at 127.0.0.1, and its key."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        secrecy = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
        self._openssl(
            "req", "-newkey", "rsa:2048", *secrecy, "-subj", f"/CN={name}",
            "-keyout", key, "-out", request,
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    def _openssl(self, *arguments: object) -> None:
        assert OPENSSL is not None
        command = [OPENSSL, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed arguments
