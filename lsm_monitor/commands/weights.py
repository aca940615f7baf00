"""``lsm-monitor weights``: the official checkpoints on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lsm_monitor.errors import WeightsError
from lsm_monitor.model.download import fetch
from lsm_monitor.model.weights import CHECKPOINTS, Checkpoint, verify, weights_folder

_MEGABYTE = 1_000_000
_PERCENT_STEP = 5


@dataclass(frozen=True, slots=True)
class WeightsStatus:
    """One checkpoint, for a person or as a JSON object.

    Attributes:
        name: What it is called here.
        path: Where it lies or would lie.
        present: Whether a file is there; ``weights verify`` looks into it.
        size_bytes: Its published size.
        sha256: Its published SHA-256.
        url: Where it is published.
    """

    name: str
    path: str
    present: bool
    size_bytes: int
    sha256: str
    url: str

    def describe(self) -> str:
        """Return one line for a person."""
        state = self.path if self.present else "absent"
        return f"{self.name}  {self.size_bytes // _MEGABYTE} MB  {state}"


def list_weights(environ: Mapping[str, str]) -> list[WeightsStatus]:
    """Return all known checkpoints, smallest first."""
    folder = weights_folder(environ)
    return [
        WeightsStatus(
            name=checkpoint.name,
            path=str(checkpoint.path(folder)),
            present=checkpoint.path(folder).is_file(),
            size_bytes=checkpoint.size_bytes,
            sha256=checkpoint.sha256,
            url=checkpoint.url,
        )
        for checkpoint in CHECKPOINTS.values()
    ]


def fetch_weights(
    name: str,
    environ: Mapping[str, str],
    *,
    source: Path | None,
    progress: Callable[[str], None],
) -> Path:
    """Fetch a checkpoint into the weights folder; return its path.

    Args:
        name: Key of ``CHECKPOINTS``.
        environ: The environment, for the folder.
        source: File to copy instead of downloading.
        progress: Shows a line to a person.

    Raises:
        ValueError: There is no checkpoint of that name.
        WeightsError: It cannot be fetched, or is another file.
    """
    checkpoint = _look_up(name)
    shown_percent = -_PERCENT_STEP

    def show(have_bytes: int, size_bytes: int) -> None:
        nonlocal shown_percent
        percent = 100 * have_bytes // size_bytes
        if percent >= shown_percent + _PERCENT_STEP:
            shown_percent = percent
            progress(f"{name}: {percent} % of {size_bytes // _MEGABYTE} MB")

    return fetch(checkpoint, weights_folder(environ), source=source, progress=show)


def verify_weights(name: str | None, environ: Mapping[str, str]) -> list[Path]:
    """Return the paths of the checkpoints that were looked into and are as published.

    Args:
        name: Key of ``CHECKPOINTS``; ``None`` means all that are present.
        environ: The environment, for the folder.

    Raises:
        ValueError: There is no checkpoint of that name.
        WeightsError: A file is missing or another one, with a line for each; or there is none.
    """
    folder = weights_folder(environ)
    if name is not None:
        return [verify(_look_up(name), folder)]
    paths: list[Path] = []
    problems: list[str] = []
    for checkpoint in CHECKPOINTS.values():
        if checkpoint.path(folder).is_file():
            try:
                paths.append(verify(checkpoint, folder))
            except WeightsError as exc:
                problems.append(str(exc))
    if problems:
        raise WeightsError("\n".join(problems))
    if not paths:
        msg = f"{folder} has no checkpoint; type: lsm-monitor weights fetch NAME"
        raise WeightsError(msg)
    return paths


def _look_up(name: str) -> Checkpoint:
    if name not in CHECKPOINTS:
        msg = f"unknown checkpoint {name!r}; known are {', '.join(CHECKPOINTS)}"
        raise ValueError(msg)
    return CHECKPOINTS[name]
