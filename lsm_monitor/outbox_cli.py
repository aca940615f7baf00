"""Command line of what is stored: ``lsm-monitor outbox`` and ``lsm-monitor events``.

Both work beside a running daemon and on the folder of a stopped one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from lsm_monitor.cli_shared import (
    JsonOption,
    StateDirOption,
    StateOfOption,
    moment,
    state_folder,
)
from lsm_monitor.commands import stored
from lsm_monitor.config.loader import load
from lsm_monitor.errors import ConfigError
from lsm_monitor.publish import store_desk
from lsm_monitor.publish.outbox_open import OUTBOX_FILE
from lsm_monitor.types import WaterLevel

outbox_app = typer.Typer(no_args_is_help=True, help="Messages on their way to the broker.")
events_app = typer.Typer(no_args_is_help=True, help="History of floods, and verdicts.")

CameraOption = Annotated[str | None, typer.Option(help="Only this camera's.")]
# A flood is listed whole or not at all: an alert in CAP refers to the one before it.
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        parser=moment, metavar="TIME", help="Only floods with news since: 24h, 7d, 2026-07-18."
    ),
]
LevelOption = Annotated[
    WaterLevel | None, typer.Option(help="Only floods that came to this level or a worse one.")
]


def add_to(app: typer.Typer) -> None:
    """Make both groups commands of ``app``."""
    app.add_typer(outbox_app, name="outbox")
    app.add_typer(events_app, name="events")


@outbox_app.command("ls")
def outbox_ls(
    config: StateOfOption = None, folder: StateDirOption = None, *, as_json: JsonOption = False
) -> None:
    """List what the broker has not acknowledged, oldest first."""
    _print_messages(store_desk.waiting(_outbox(config, folder)), as_json=as_json)


@outbox_app.command("dead")
def outbox_dead(
    config: StateOfOption = None, folder: StateDirOption = None, *, as_json: JsonOption = False
) -> None:
    """List dead letters: what the broker refused, or what expired."""
    _print_messages(store_desk.dead_letters(_outbox(config, folder)), as_json=as_json)


@outbox_app.command("retry")
def outbox_retry(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID...")] = None,
    config: StateOfOption = None,
    folder: StateDirOption = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
) -> None:
    """Send dead letters again, in their old place in the order."""
    if bool(ids) is every:
        msg = "give the IDs that 'outbox dead' shows, or --all"
        raise typer.BadParameter(msg)
    count = store_desk.retry(_outbox(config, folder), ids or None)
    typer.echo(f"{count} messages will be sent again")


@outbox_app.command("purge")
def outbox_purge(
    config: StateOfOption = None,
    folder: StateDirOption = None,
    *,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Not dead letters, but what still waits: alerts!")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all dead letters, for ever."""
    path = _outbox(config, folder)
    what = "messages that the broker never got" if waiting else "dead letters"
    if not yes:
        if not sys.stdin.isatty():
            msg = f"this deletes all {what} in {path}; say --yes"
            raise typer.BadParameter(msg)
        typer.confirm(f"Delete all {what} in {path}?", abort=True)
    typer.echo(f"{store_desk.purge(path, dead=not waiting)} messages deleted")


@events_app.command("ls")
def events_ls(
    config: StateOfOption = None,
    folder: StateDirOption = None,
    camera: CameraOption = None,
    since: SinceOption = None,
    level: LevelOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List events, oldest first."""
    payloads = store_desk.events(
        _outbox(config, folder), camera=camera, since=since, level=level
    )
    _print_events(payloads, as_json=as_json)


@events_app.command("show")
def events_show(
    event_id: Annotated[UUID, typer.Argument(metavar="EVENT_ID")],
    config: StateOfOption = None,
    folder: StateDirOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one episode from open to close, and what operators said of it."""
    path = _outbox(config, folder)
    payloads = list(store_desk.events(path, event_id=event_id))
    if not payloads:
        msg = f"there is no event {event_id} in {path}"
        raise typer.BadParameter(msg)
    _print_events(payloads, as_json=as_json)
    if not as_json:
        typer.echo(json.dumps(json.loads(payloads[-1]), indent=2, ensure_ascii=False))
    for verdict in store_desk.feedback(path, event_id=event_id):
        text = json.dumps(asdict(verdict)) if as_json else stored.feedback_line(verdict)
        typer.echo(text)


@events_app.command("export")
def events_export(
    config: StateOfOption = None,
    folder: StateDirOption = None,
    camera: CameraOption = None,
    since: SinceOption = None,
    level: LevelOption = None,
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="For --cap; made if absent.")
    ] = Path("cap"),
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table on stdout.")] = False,
    as_cap: Annotated[bool, typer.Option("--cap", help="CAP 1.2, one file per event.")] = False,
) -> None:
    """Write the history for other programs: exactly what was published."""
    if as_json + as_csv + as_cap != 1:
        msg = "give one of --json, --csv and --cap"
        raise typer.BadParameter(msg)
    payloads = store_desk.events(
        _outbox(config, folder), camera=camera, since=since, level=level
    )
    if as_json:
        _print_events(payloads, as_json=True)
    elif as_csv:
        for line in stored.as_csv(payloads):
            typer.echo(line)
    else:
        cap = load(config, os.environ, needs_secrets=False).config.cap if config else None
        if cap is None:
            msg = "--cap needs a --config with a section 'cap': sender, areas"
            raise ConfigError(msg)
        typer.echo(f"{out}: {stored.write_cap(payloads, cap, out)} alerts")


@events_app.command("feedback")
def events_feedback(
    config: StateOfOption = None, folder: StateDirOption = None, *, as_json: JsonOption = False
) -> None:
    """List operators' verdicts, for training."""
    for verdict in store_desk.feedback(_outbox(config, folder)):
        text = json.dumps(asdict(verdict)) if as_json else stored.feedback_line(verdict)
        typer.echo(text)


def _print_messages(messages: Iterable[store_desk.StoredMessage], *, as_json: bool) -> None:
    for message in messages:
        text = json.dumps(asdict(message)) if as_json else stored.message_line(message)
        typer.echo(text)


def _print_events(payloads: Iterable[bytes], *, as_json: bool) -> None:
    for payload in payloads:
        typer.echo(payload.decode() if as_json else stored.event_line(payload))


def _outbox(config: Path | None, folder: Path | None) -> Path:
    return state_folder(config, folder) / OUTBOX_FILE
