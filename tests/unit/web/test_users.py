"""The users file and the command that writes it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lsm_monitor.cli import app
from lsm_monitor.errors import ConfigError
from lsm_monitor.web.passwords import is_right
from lsm_monitor.web.users import Users, read_users


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.yaml"


def users(*arguments: str, file: Path, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["users", *arguments, "--file", str(file)], input=stdin)


def test_users_are_added_listed_changed_and_removed(path: Path) -> None:
    assert users("add", "ann", "--role", "viewer", file=path, stdin="a good password\n")
    users("add", "bob", "--role", "admin", file=path, stdin="another password\n")
    assert users("ls", file=path).stdout == "ann\tviewer\nbob\tadmin\n"
    users("passwd", "ann", file=path, stdin="a newer password\n")
    ann = read_users(path)["ann"]
    assert (ann.role, is_right("a newer password", ann.password)) == ("viewer", True)
    assert users("rm", "bob", file=path).exit_code == 0
    assert users("ls", "--json", file=path).stdout == '{"user": "ann", "role": "viewer"}\n'


@pytest.mark.parametrize(
    ("arguments", "stdin", "hint"),
    [
        (["add", "Ann", "--role", "viewer"], "", "a-z"),
        (["add", "ann", "--role", "boss"], "", "one of viewer, operator, admin"),
        (["add", "ann", "--role", "viewer"], "short\n", "10"),
        (["passwd", "ann"], "a good password\n", "no user 'ann'"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    path: Path, arguments: list[str], stdin: str, hint: str
) -> None:
    result = users(*arguments, file=path, stdin=stdin)
    assert result.exit_code == 2
    assert hint in " ".join(result.stderr.replace("│", " ").split())
    assert not path.exists()


def test_the_file_is_nobody_elses_and_keeps_a_mode_that_it_has(path: Path) -> None:
    users("add", "ann", "--role", "viewer", file=path, stdin="a good password\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    users("add", "bob", "--role", "viewer", file=path, stdin="a good password\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    users("add", "ann", "--role", "viewer", file=link, stdin="a good password\n")
    assert link.readlink() == path
    assert list(read_users(path)) == ["ann"]


@pytest.mark.parametrize(
    ("text", "mode", "hint"),
    [
        ("users: {}", 0o644, "chmod 640"),
        ("users: [", 0o600, "neither YAML nor JSON"),
        ("users: {ann: {role: viewer}}", 0o600, "users.ann.password"),
        ("users: {ann: {role: boss, password: x}}", 0o600, "users.ann.role"),
        ("[1]", 0o600, "users file"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_to_type(
    path: Path, text: str, mode: int, hint: str
) -> None:
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=hint):
        Users(path)


def test_a_problem_never_tells_a_hash(path: Path) -> None:
    path.write_text("users: {ann: {role: viewer, password: geheim}}")
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        Users(path)
    assert "geheim" not in str(caught.value)
    users_with_good = "users: {ann: {role: viewer, password: $argon2id$" + "g" * 30 + "}}"
    path.write_text(users_with_good)
    assert "ggg" not in repr(read_users(path))


def test_a_configuration_without_users_file_says_what_to_write(tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text(
        "version: 1\nsite: s\nmqtt: {host: h}\ncameras: {a: {url: 'rtsp://h/1'}}\n"
    )
    result = CliRunner().invoke(app, ["users", "ls", "--config", str(config)])
    assert isinstance(result.exception, ConfigError)
    assert "users_file: users.yaml" in str(result.exception)


def test_a_file_is_read_again_when_only_its_mode_was_put_right(path: Path) -> None:
    for name in ("ann", "eve"):
        users("add", name, "--role", "admin", file=path, stdin="a good password\n")
    known = Users(path)
    users("rm", "eve", file=path)
    path.chmod(0o644)  # as an editor may leave it
    known.refresh()
    assert known.get("eve") is not None
    path.chmod(0o640)  # as the log says
    known.refresh()
    assert known.get("eve") is None


def test_a_file_is_read_again_when_an_edit_kept_its_length_and_time(path: Path) -> None:
    users("add", "ann", "--role", "viewer", file=path, stdin="a good password\n")
    known, before = Users(path), path.stat()
    path.write_text(path.read_text().replace("ann:", "bob:"))
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # until the file system's clock ticks
        path.touch()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    known.refresh()
    assert (known.get("ann"), known.get("bob") is None) == (None, False)
