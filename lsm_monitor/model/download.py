"""Getting an official checkpoint onto this machine, from the net or from a file.

A download goes into ``FILE.part`` beside its place and is moved there once it is whole and its
SHA-256 is the published one: a wrong file is deleted, an interrupted one is kept and resumed.
Proxies come from the environment (``https_proxy``, ``no_proxy``), as urllib does it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from lsm_monitor.errors import WeightsError, WeightsUnavailableError
from lsm_monitor.model.weights import Checkpoint, check_published, verify

# Called with the bytes that are here and the bytes of the whole file.
Progress = Callable[[int, int], None]

_TIMEOUT_S = 30.0  # of one socket operation
_CHUNK_BYTES = 1 << 20


def fetch(
    checkpoint: Checkpoint, folder: Path, *, source: Path | None, progress: Progress
) -> Path:
    """Put the published file into ``folder``, unless it is there.

    Args:
        checkpoint: What to fetch.
        folder: The weights folder; made if it is absent.
        source: File to copy instead of downloading.
        progress: Told after each piece of a download.

    Returns:
        The path of the file, verified.

    Raises:
        WeightsUnavailableError: It could not be downloaded now; what has come is kept.
        WeightsError: It is another file, or the folder cannot be written.
    """
    with contextlib.suppress(WeightsError):
        return verify(checkpoint, folder)
    target = checkpoint.path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_fetch(target):
            if source is None:
                _download(checkpoint, target, progress)
            else:
                _copy(checkpoint, source, target)
    except OSError as exc:
        msg = (
            f"{checkpoint.name}: cannot write to {folder} ({exc.strerror}); "
            "set LSM_WEIGHTS_DIR to another folder"
        )
        raise WeightsError(msg) from exc
    return target


@contextlib.contextmanager
def _only_fetch(target: Path) -> Iterator[None]:
    """Keep a second process from writing the same file at the same time."""
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"{target}: another process is fetching it; wait until it is done"
            raise WeightsUnavailableError(msg) from None
        yield


def _copy(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    check_published(checkpoint, source, remedy=f"get {checkpoint.url}")
    _check_space(checkpoint, target.parent, checkpoint.size_bytes)
    copy = target.with_name(f"{target.name}.copy")
    try:
        shutil.copyfile(source, copy)
        copy.replace(target)
    finally:
        copy.unlink(missing_ok=True)


def _download(checkpoint: Checkpoint, target: Path, progress: Progress) -> None:
    part = target.with_name(f"{target.name}.part")
    have_bytes = part.stat().st_size if part.exists() else 0
    if have_bytes < checkpoint.size_bytes:
        _check_space(checkpoint, target.parent, checkpoint.size_bytes - have_bytes)
        _append(checkpoint, part, have_bytes, progress)
    try:
        check_published(
            checkpoint, part, remedy="it was deleted; try again, or use --from FILE"
        )
    except WeightsError:
        part.unlink()
        raise
    part.replace(target)


def _append(checkpoint: Checkpoint, part: Path, have_bytes: int, progress: Progress) -> None:
    """Download what ``part`` lacks.

    Raises:
        WeightsUnavailableError: It did not come, or not all of it.
    """
    size_bytes = checkpoint.size_bytes
    with _open(checkpoint, have_bytes) as response:
        if response.status == HTTPStatus.OK:
            have_bytes = 0  # the server knows no ranges and starts again; so do we
        with part.open("ab" if have_bytes else "wb") as file:
            while have_bytes < size_bytes:
                with _network_errors(checkpoint):
                    chunk = response.read(_CHUNK_BYTES)
                if not chunk:
                    why = f"the connection ended after {have_bytes} of {size_bytes} bytes"
                    raise _unavailable(checkpoint, why)
                file.write(chunk)
                have_bytes += len(chunk)
                progress(have_bytes, size_bytes)
            file.flush()
            os.fsync(file.fileno())


def _open(checkpoint: Checkpoint, have_bytes: int) -> HTTPResponse:
    """Ask for the bytes from ``have_bytes`` on, and check that the answer is about our file."""
    headers = {"Range": f"bytes={have_bytes}-"} if have_bytes else {}
    request = Request(checkpoint.url, headers=headers)  # noqa: S310 - a URL of ours
    with _network_errors(checkpoint):
        # Not urlopen, which reads the proxies once in the life of a process.
        response: HTTPResponse = build_opener().open(request, timeout=_TIMEOUT_S)
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        first, last = have_bytes, checkpoint.size_bytes - 1
        must = rf"bytes {first}-{last}/({checkpoint.size_bytes}|\*)"
        found = response.headers.get("Content-Range", "")
        fits = re.fullmatch(must, found) is not None
    else:
        found = response.headers.get("Content-Length", "")
        fits = found in {"", str(checkpoint.size_bytes)}
    if not fits:
        # What a captive portal or a proxy's error page looks like; it must not become a part.
        response.close()
        why = f"it offers {found!r} of {checkpoint.size_bytes} bytes; that is another file"
        raise _unavailable(checkpoint, why)
    return response


@contextlib.contextmanager
def _network_errors(checkpoint: Checkpoint) -> Iterator[None]:
    try:
        yield
    except HTTPError as exc:
        exc.close()
        raise _unavailable(checkpoint, f"HTTP {exc.code} {exc.reason}") from exc
    except URLError as exc:
        raise _unavailable(checkpoint, str(exc.reason)) from exc
    except (OSError, HTTPException) as exc:
        raise _unavailable(checkpoint, str(exc) or type(exc).__name__) from exc
    except ValueError:  # its text may hold the proxy's password
        why = "the proxy in the environment is not a URL like http://HOST:PORT"
        raise _unavailable(checkpoint, why) from None


def _unavailable(checkpoint: Checkpoint, why: str) -> WeightsUnavailableError:
    return WeightsUnavailableError(
        f"{checkpoint.name}: {checkpoint.url}: {why}; try again, what has come is kept; "
        "without network: get that file elsewhere and type: "
        f"lsm-monitor weights fetch {checkpoint.name} --from FILE"
    )


def _check_space(checkpoint: Checkpoint, folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        msg = (
            f"{checkpoint.name}: {folder} has {free_bytes} bytes free, {needed_bytes} are "
            "needed; make room, or set LSM_WEIGHTS_DIR to another folder"
        )
        raise WeightsError(msg)
