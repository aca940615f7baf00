from __future__ import annotations

from pathlib import Path

import pytest

from lsm_monitor.config.loader import load
from lsm_monitor.config.secrets import resolve, revealed
from lsm_monitor.errors import ConfigError

TEXT = """\
version: 1
site: west
mqtt: {host: localhost, username: lsm, password: "${env:BROKER}"}
cameras:
  bridge: {url: "rtsp://192.0.2.1/1", username: admin, password: "${file:camera.txt}"}
"""


def test_passwords_come_from_outside_and_show_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(TEXT)
    (tmp_path / "camera.txt").write_text("p@ss/word\n")
    loaded = load(tmp_path / "monitor.yaml", {"BROKER": "hunter2"})
    assert sorted(revealed(loaded.config)) == ["hunter2", "p@ss/word"]
    assert "hunter2" not in repr(loaded)
    assert "p@ss" not in repr(loaded)


def test_every_missing_secret_is_reported_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(TEXT)
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "monitor.yaml", {})
    assert str(error.value).splitlines() == [
        "monitor.yaml:3: mqtt.password: environment variable BROKER is not set",
        (
            "monitor.yaml:5: cameras.bridge.password: cannot read "
            f"{tmp_path}/camera.txt (No such file or directory)"
        ),
    ]


def test_a_systemd_credential_is_read_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mqtt-password").write_text("hunter2")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert resolve("${cred:mqtt-password}", environ=environ, base_dir=Path()) == "hunter2"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("${cred:mqtt-password}", r"LoadCredential=mqtt-password:/etc/lsm-monitor"),
        ("${vault:a}", r"write \$\{env:NAME\}"),
        ("${env:}", r"write \$\{env:NAME\}"),
    ],
)
def test_a_reference_that_names_nothing_says_what_to_type(
    reference: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        resolve(reference, environ={}, base_dir=Path())


@pytest.mark.parametrize("name", ["../shadow", "..", "a/b"])
def test_a_credential_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    with pytest.raises(ValueError, match="must not contain a path"):
        resolve(f"${{cred:{name}}}", environ=environ, base_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\xff", "not UTF-8"), (b"x" * 70_000, "larger than 64 KiB")],
)
def test_a_secret_file_that_cannot_be_one_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        resolve("${file:f}", environ={}, base_dir=tmp_path)
