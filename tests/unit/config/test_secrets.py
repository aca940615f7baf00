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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state_dir", "${env:HOME}/state"),
        ("model.bundle", "./${env:MODEL}"),
        ("mqtt.client_id", "lsm-${cred:site}-${env:NUMBER}"),
    ],
)
@pytest.mark.parametrize("needs_secrets", [True, False])
def test_a_reference_inside_a_longer_text_is_an_error_and_no_odd_name(
    tmp_path: Path, key: str, value: str, *, needs_secrets: bool
) -> None:
    section, _, inner = key.rpartition(".")
    text = f"{section}: {{{inner}: '{value}', host: h}}" if section == "mqtt" else ""
    text = text or (f"{section}: {{{inner}: '{value}'}}" if section else f"{key}: {value}")
    mqtt = "" if section == "mqtt" else "mqtt: {host: h}\n"
    path = tmp_path / "m.yaml"
    path.write_text(f"version: 1\nsite: a\n{text}\n{mqtt}cameras: {{c: {{url: x.mp4}}}}\n")
    with pytest.raises(ConfigError) as error:
        load(path, {"HOME": "/root"}, needs_secrets=needs_secrets)
    assert str(error.value) == (
        f"m.yaml:3: {key}: a reference is the whole value or none; put the whole text where it "
        "points to"
    )


@pytest.mark.parametrize("line", ["state_dir: ~/state", "model: {bundle: ~/street}"])
def test_a_tilde_is_an_error_and_no_folder_of_that_name(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        f"version: 1\nsite: a\n{line}\nmqtt: {{host: h}}\ncameras: {{c: {{url: x.mp4}}}}\n"
    )
    with pytest.raises(ConfigError, match=r"m.yaml:3: .*'~' stands for nobody's home"):
        load(path, {})
