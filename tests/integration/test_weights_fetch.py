"""Fetching a checkpoint over real HTTP from loopback servers, healthy and broken."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest

from lsm_monitor.cli import app, run_guarded
from lsm_monitor.commands import weights as commands
from lsm_monitor.errors import WeightsError, WeightsUnavailableError
from lsm_monitor.model.download import fetch
from lsm_monitor.model.weights import Checkpoint, verify

CONTENT = bytes(range(256)) * 12_000  # three reads
FILE = "tiny.pth"


class FileServer(ThreadingHTTPServer):
    """Serves one file; ``requests`` holds the path and the Range header of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.knows_ranges = True
        self.status: int | None = None
        self.hang_up_after: int | None = None
        self.announced: str | None = None
        self.requests: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server, asked = self.server, self.headers["Range"]
        server.requests.append((self.path, asked))
        if server.status is not None:
            self.send_error(server.status)
            return
        total, first = len(server.content), 0
        if asked is not None and server.knows_ranges:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", server.announced or str(total - first))
        self.end_headers()
        self.wfile.write(server.content[first : server.hang_up_after])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


@contextmanager
def _serving() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="file-server")
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with _serving() as server:
        yield server


@pytest.fixture
def checkpoint(server: FileServer) -> Checkpoint:
    return _checkpoint(server.address)


def _checkpoint(address: str) -> Checkpoint:
    return Checkpoint(
        name="tiny",
        url=f"{address}/published/{FILE}",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def _fetch(checkpoint: Checkpoint, folder: Path, source: Path | None = None) -> Path:
    return fetch(checkpoint, folder, source=source, progress=lambda _have, _size: None)


def _visible(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith(".")
    }


def test_a_complete_download_is_put_into_place_and_told_about(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    folder = tmp_path / "not" / "there" / "yet"

    path = fetch(
        checkpoint, folder, source=None, progress=lambda *amounts: told.append(amounts)
    )

    assert path == folder / FILE
    assert _visible(folder) == {FILE: CONTENT}
    assert server.requests == [(f"/published/{FILE}", None)]
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert verify(checkpoint, folder) == path


def test_a_file_that_is_there_is_not_fetched_again(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(CONTENT)

    _fetch(checkpoint, tmp_path)

    assert server.requests == []


def test_a_wrong_file_that_is_there_is_replaced(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(CONTENT[:-1] + b"x")

    _fetch(checkpoint, tmp_path)

    assert _visible(tmp_path) == {FILE: CONTENT}


def test_a_cut_off_download_is_kept_and_resumed(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    server.hang_up_after = 2_000_000
    with pytest.raises(WeightsUnavailableError, match="ended after 2000000 of 3072000 bytes"):
        _fetch(checkpoint, tmp_path)
    assert _visible(tmp_path) == {f"{FILE}.part": CONTENT[:2_000_000]}

    server.hang_up_after = None
    _fetch(checkpoint, tmp_path)

    assert server.requests[-1][1] == "bytes=2000000-"
    assert _visible(tmp_path) == {FILE: CONTENT}


def test_a_server_that_ignores_ranges_is_read_from_the_start(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(CONTENT[:1_000_000])
    server.knows_ranges = False

    _fetch(checkpoint, tmp_path)

    assert server.requests[-1][1] == "bytes=1000000-"
    assert _visible(tmp_path) == {FILE: CONTENT}


def test_a_part_that_is_whole_needs_no_server(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(CONTENT)

    _fetch(checkpoint, tmp_path)

    assert server.requests == []
    assert _visible(tmp_path) == {FILE: CONTENT}


@pytest.mark.parametrize("part", [b"", b"y" * 100, b"z" * 4_000_000], ids=len)
def test_a_wrong_digest_keeps_nothing(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path, part: bytes
) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(part)
    server.content = CONTENT[:-1] + b"x"

    with pytest.raises(WeightsError, match=r"instead of .* it was deleted") as caught:
        _fetch(checkpoint, tmp_path)

    assert not isinstance(caught.value, WeightsUnavailableError)
    assert _visible(tmp_path) == {}


def test_another_file_under_the_same_address_does_not_touch_what_has_come(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(CONTENT[:1_000_000])
    server.content, server.knows_ranges = b"<html>Please log in", False

    with pytest.raises(WeightsUnavailableError, match="'19' of 3072000 bytes"):
        _fetch(checkpoint, tmp_path)

    assert _visible(tmp_path) == {f"{FILE}.part": CONTENT[:1_000_000]}


def test_a_refusal_is_told_with_its_status(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    server.status = 403

    with pytest.raises(WeightsUnavailableError, match="HTTP 403 Forbidden"):
        _fetch(checkpoint, tmp_path)


def test_without_network_the_text_says_what_to_type(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens: connections are refused
        checkpoint = _checkpoint(f"http://127.0.0.1:{closed.getsockname()[1]}")

        with pytest.raises(WeightsUnavailableError) as caught:
            _fetch(checkpoint, tmp_path)

    assert checkpoint.url in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "lsm-monitor weights fetch tiny --from FILE" in str(caught.value)


def test_the_proxy_of_the_environment_is_used(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    checkpoint = _checkpoint("http://weights.invalid")  # no such host: only a proxy knows it

    _fetch(checkpoint, tmp_path)

    assert server.requests == [(checkpoint.url, None)]


def test_a_broken_proxy_setting_is_named_without_its_password(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http:/user:secret")

    with pytest.raises(WeightsUnavailableError, match="proxy in the environment") as caught:
        _fetch(checkpoint, tmp_path)

    assert "secret" not in str(caught.value)


def test_too_little_space_is_told_before_anything_is_asked(
    checkpoint: Checkpoint,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=len(CONTENT) - 101)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)

    with pytest.raises(WeightsError, match="3071899 bytes free, 3072000 are needed"):
        _fetch(checkpoint, tmp_path)
    assert server.requests == []

    (tmp_path / f"{FILE}.part").write_bytes(CONTENT[:101])  # the rest fits
    _fetch(checkpoint, tmp_path)


def test_a_folder_that_cannot_be_made_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(WeightsError, match=r"cannot write to .*file/weights.*LSM_WEIGHTS_DIR"):
        _fetch(checkpoint, tmp_path / "file" / "weights")


def test_a_full_disk_keeps_what_has_come(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)

    with pytest.raises(WeightsError, match="No space left on device") as caught:
        _fetch(checkpoint, tmp_path)

    assert not isinstance(caught.value, WeightsUnavailableError)
    assert list(_visible(tmp_path)) == [f"{FILE}.part"]


def test_two_at_once_do_not_write_the_same_file(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def fetch_again(_have_bytes: int, _size_bytes: int) -> None:
        with pytest.raises(WeightsUnavailableError, match="another process is fetching it"):
            _fetch(checkpoint, tmp_path)

    fetch(checkpoint, tmp_path, source=None, progress=fetch_again)


def test_a_file_from_elsewhere_is_copied(
    checkpoint: Checkpoint, server: FileServer, tmp_path: Path
) -> None:
    source = tmp_path / "usb-stick.bin"
    source.write_bytes(CONTENT)

    _fetch(checkpoint, tmp_path / "weights", source)

    assert _visible(tmp_path / "weights") == {FILE: CONTENT}
    assert source.read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [(CONTENT[:-1], "has 3071999 bytes instead of 3072000"), (b"x" * len(CONTENT), "SHA-256")],
    ids=["short", "other"],
)
def test_a_wrong_file_from_elsewhere_keeps_nothing(
    checkpoint: Checkpoint, tmp_path: Path, content: bytes, problem: str
) -> None:
    source = tmp_path / "usb-stick.bin"
    source.write_bytes(content)

    with pytest.raises(WeightsError, match=problem):
        _fetch(checkpoint, tmp_path / "weights", source)

    assert _visible(tmp_path / "weights") == {}


# --- the commands -----------------------------------------------------------------------------


@pytest.fixture
def known(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Checkpoint:
    """Make ``tiny`` the only known checkpoint, and ``tmp_path`` the weights folder."""
    monkeypatch.setenv("LSM_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr(commands, "CHECKPOINTS", MappingProxyType({"tiny": checkpoint}))
    return checkpoint


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], known: Checkpoint) -> Run:  # noqa: ARG001
    """Run a command as ``main`` does; returns exit code, stdout and stderr."""

    def run_weights(*arguments: str) -> tuple[int, str, str]:
        code = run_guarded(lambda: app(["weights", *arguments]))
        return code, *capsys.readouterr()

    return run_weights


def test_fetch_then_verify_then_list(run: Run, tmp_path: Path) -> None:
    code, out, err = run("fetch", "tiny")
    assert (code, out) == (0, f"{tmp_path / FILE}: ok\n")
    assert err.splitlines()[-1] == "tiny: 100 % of 3 MB"

    assert run("verify")[:2] == (0, f"{tmp_path / FILE}: ok\n")
    assert run("verify", "tiny")[:2] == (0, f"{tmp_path / FILE}: ok\n")
    assert run("list")[:2] == (0, f"tiny  3 MB  {tmp_path / FILE}\n")


def test_list_as_json_names_everything(run: Run, known: Checkpoint, tmp_path: Path) -> None:
    code, out, _ = run("list", "--json")

    assert code == 0
    assert json.loads(out) == {
        "name": "tiny",
        "path": str(tmp_path / FILE),
        "present": False,
        "size_bytes": known.size_bytes,
        "sha256": known.sha256,
        "url": known.url,
    }


Damage = Callable[[FileServer, Path], None]


def _refuse(server: FileServer, _folder: Path) -> None:
    server.status = 503


def _change(server: FileServer, _folder: Path) -> None:
    server.content = b"x" * len(CONTENT)


def _spoil(_server: FileServer, folder: Path) -> None:
    (folder / FILE).write_bytes(b"x" * len(CONTENT))


def _nothing(_server: FileServer, _folder: Path) -> None:
    """Leave everything as it is."""


@pytest.mark.parametrize(
    ("arguments", "damage", "code", "text"),
    [
        (["fetch", "tiny"], _refuse, 69, "HTTP 503"),
        (["fetch", "tiny"], _change, 78, "SHA-256"),
        (["fetch", "tyni"], _nothing, 2, "unknown checkpoint 'tyni'; known are tiny"),
        (["verify"], _nothing, 78, "has no checkpoint; type: lsm-monitor weights fetch NAME"),
        (["verify", "tiny"], _nothing, 78, "is missing; type: lsm-monitor weights fetch tiny"),
        (["verify", "tiny"], _spoil, 78, "SHA-256"),
        (["verify"], _spoil, 78, "SHA-256"),
        (["verify", "tyni"], _nothing, 2, "unknown checkpoint 'tyni'"),
    ],
)
def test_failures_have_their_exit_codes(
    *,
    run: Run,
    arguments: list[str],
    damage: Damage,
    code: int,
    text: str,
    server: FileServer,
    tmp_path: Path,
) -> None:
    damage(server, tmp_path)

    found_code, _, error = run(*arguments)

    assert found_code == code
    assert text in " ".join(error.replace("│", " ").split())
