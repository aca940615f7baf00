"""``lsm-monitor service install``: the systemd files, with the paths of this installation.

The shipped units name ``/opt/lsm-monitor``, where the Debian package puts the program. An
installation elsewhere needs other paths, and one in a home folder cannot be a service at all:
the units hide homes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import lsm_monitor
from lsm_monitor.errors import StoreError

PROGRAM_FOLDER = Path("/opt/lsm-monitor/.venv/bin")
DEFAULT_CONFIG = Path("/etc/lsm-monitor/monitor.yaml")
_HIDDEN_BY_UNITS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - not used
_UNITS = Path("etc/systemd/system")


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """One file of the service: its path on the machine, and what stands in it."""

    path: Path
    text: str


def service_files(*, gpu: bool, programs: Path, config: Path) -> list[ServiceFile]:
    """Return what ``install`` writes.

    Args:
        gpu: The unit for machines with a GPU, and not the one without.
        programs: Folder of ``lsm-monitor`` and ``lsm-engines``.
        config: The daemon's YAML file; absolute.

    Raises:
        ValueError: A path cannot be used by a service; says which and what to do.
        StoreError: The shipped files are not there.
    """
    for what, path in (("the program", programs), ("--config", config)):
        _check_path(what, path)
    daemon = "lsm-monitor-gpu.service" if gpu else "lsm-monitor.service"
    places = {
        daemon: _UNITS / daemon,
        "lsm-engine-build.service": _UNITS / "lsm-engine-build.service",
        "lsm-monitor.sysusers.conf": Path("etc/sysusers.d/lsm-monitor.conf"),
        "lsm-monitor.tmpfiles.conf": Path("etc/tmpfiles.d/lsm-monitor.conf"),
    }
    folder = _shipped_folder()
    return [
        ServiceFile(
            place,
            (folder / name)
            .read_text(encoding="utf-8")
            .replace(str(PROGRAM_FOLDER), str(programs))
            .replace(str(DEFAULT_CONFIG), str(config)),
        )
        for name, place in places.items()
    ]


def install(files: list[ServiceFile], root: Path) -> list[Path]:
    """Write ``files`` below ``root`` and return where.

    Raises:
        StoreError: A file cannot be written.
    """
    written: list[Path] = []
    for file in files:
        path = root / file.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")
        except OSError as exc:
            msg = f"{path}: cannot be written ({exc.strerror}); run as root, or see --print"
            raise StoreError(msg) from None
        written.append(path)
    return written


def next_steps(*, gpu: bool, programs: Path, config: Path, root: Path) -> str:
    """Return the commands that make the files work.

    Args:
        gpu: As for :func:`service_files`.
        programs: The same.
        config: The same.
        root: Where the files were written; a ``config`` that is there already is kept.

    Raises:
        StoreError: The shipped files are not there.
    """
    steps = ["systemd-sysusers && systemd-tmpfiles --create"]
    if not root.joinpath(config.relative_to("/")).exists():
        example = _shipped_folder().parent / "config" / "monitor.minimal.yaml"
        steps += [f"install -m 640 -g lsm-monitor {example} {config}", f"editor {config}"]
    unit = "lsm-monitor-gpu" if gpu else "lsm-monitor"
    steps += [
        f"{programs / 'lsm-monitor'} check {config}",
        f"systemctl daemon-reload && systemctl enable --now {unit}",
    ]
    return "now: " + "\n     ".join(steps)


def this_program_folder() -> Path:
    """Return the folder of the ``lsm-monitor`` that runs now, by a name that upgrades keep."""
    folder = Path(sys.executable).parent.absolute()
    # The package's folder is a link to the environment of the version that is installed.
    return PROGRAM_FOLDER if folder.resolve() == PROGRAM_FOLDER.resolve() else folder


def python_warning(python: Path) -> str | None:
    """Return a warning when the units would hide the Python that the program needs.

    Args:
        python: Where that Python is installed, as ``sys.base_prefix``: an environment in /opt
            may be a link to one that pyenv or uv keep in a home folder.
    """
    hidden = _hiding(python)
    return hidden and (
        f"warning: the program runs on the Python in {python}, and the units hide {hidden} "
        "from the service, which would not start; make the environment anew with another "
        "Python, as in: /usr/bin/python3 -m venv .venv"
    )


def _check_path(what: str, path: Path) -> None:
    if not path.is_absolute():
        msg = f"{what}: {path} is not an absolute path; a service starts in /"
        raise ValueError(msg)
    hidden = _hiding(path)
    if hidden:
        msg = (
            f"{what}: {path} lies in {hidden}, which the units hide from the service; "
            "install to /opt/lsm-monitor, as docs/operations.md shows"
        )
        raise ValueError(msg)
    if any(character in str(path) for character in " \t\n%$\"'\\;"):
        msg = f"{what}: {path}: systemd would read a blank or one of %$\"'\\; in it otherwise"
        raise ValueError(msg)


def _hiding(path: Path) -> str | None:
    """Return the folder in which the units hide ``path``, or what it is a link to."""
    places = (path, path.resolve())
    return next(
        (each for each in _HIDDEN_BY_UNITS if any(p.is_relative_to(each) for p in places)), None
    )


def _shipped_folder() -> Path:
    """Return the folder of the shipped units: of a checkout, else of the installed wheel."""
    checkout = Path(lsm_monitor.__file__).resolve().parent.parent / "systemd"
    installed = Path(sys.prefix, "share", "lsm-monitor", "systemd")
    for folder in (checkout, installed):
        if (folder / "lsm-monitor.service").is_file():
            return folder
    msg = f"{installed}: the shipped units are not there; install lsm-monitor again"
    raise StoreError(msg)
