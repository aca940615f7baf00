"""The port's certificate: real files, real handshakes."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from lsm_monitor.config.models import HttpConfig
from lsm_monitor.errors import ConfigError
from lsm_monitor.runtime.tls import Certificate
from tests.certificates import self_signed


def shown(certificate: Certificate) -> bytes:
    """Return the certificate that a client is shown in a handshake, DER."""
    ours, theirs = socket.socketpair()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    def serve() -> None:
        with certificate.context.wrap_socket(ours, server_side=True) as served:
            served.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(theirs) as connection:
        found = connection.getpeercert(binary_form=True)
        connection.sendall(b"x")
    thread.join(10.0)
    assert found is not None
    return found


def folder(path: Path, name: str) -> Path:
    made = path / name
    made.mkdir()
    return made


def test_a_renewed_certificate_is_taken_over_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    used, other = self_signed(tmp_path), self_signed(folder(tmp_path, "new"))
    certificate = Certificate(used.chain, used.key)
    first = shown(certificate)
    shutil.copy(other.chain, used.chain)  # not yet its key: they do not fit
    certificate.refresh()
    assert "the old certificate stays" in caplog.text
    assert shown(certificate) == first
    shutil.copy(other.key, used.key)
    certificate.refresh()
    assert shown(certificate) == ssl.PEM_cert_to_DER_cert(other.chain.read_text())


def test_files_that_cannot_be_used_are_named_and_nobody_is_asked(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(made.key), "-aes128", "-passout", "pass:geheim"]
    subprocess.run([*command, "-out", str(locked)], check=True, capture_output=True)  # noqa: S603 - fixed arguments
    for chain, key in (
        (tmp_path / "missing.pem", made.key),
        (made.key, made.key),
        (made.chain, locked),
    ):
        with pytest.raises(
            ConfigError, match=r"http.tls_cert_file .* cannot be used"
        ) as caught:
            Certificate(chain, key)
        assert str(key) in str(caught.value)


def test_without_a_certificate_there_is_no_tls() -> None:
    assert Certificate.of(HttpConfig()) is None
