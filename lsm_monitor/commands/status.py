"""``lsm-monitor status``: what the running daemon says of itself, over its HTTP port."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr, ValidationError

from lsm_monitor.errors import DaemonUnreachableError
from lsm_monitor.runtime.http_models import CameraStats, Stats

_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_OK, _UNAUTHORIZED = 200, 401
_HEADER = ("CAMERA", "STATE", "LEVEL", "WATER", "QUALITY", "PICTURE", "WHY")


def fetch_status(
    host: str, port: int, *, certificate: Path | None = None, token: SecretStr | None = None
) -> tuple[Stats, bytes]:
    """Return what the daemon answers, as types and as it was sent.

    Args:
        host: Where it listens.
        port: Where it listens.
        certificate: Its ``http.tls_cert_file``, if it speaks TLS: the only one that is
            trusted, whatever name it is for.
        token: Its ``http.metrics_token``; on its own machine it needs none.

    Raises:
        DaemonUnreachableError: Nobody answers there, or somebody else does; or the token
            cannot be sent.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {_sendable(token)}"}
    try:
        with contextlib.closing(_connection(host, port, certificate)) as connection:
            connection.request("GET", "/api/stats", headers=headers)
            response = connection.getresponse()
            body = response.read(_MAX_ANSWER_BYTES)
        if response.status == _UNAUTHORIZED:
            msg = (
                f"the daemon on {host} port {port} wants to know who asks; give --token-file "
                "with its 'http.metrics_token', or ask on its own machine"
            )
            raise DaemonUnreachableError(msg)
        if response.status != _OK:
            raise _not_ours(host, port, f"status {response.status}")
        return Stats.model_validate_json(body), body
    except (OSError, UnicodeError, http.client.InvalidURL) as exc:
        # The last two: a name that no host can have.
        why = getattr(exc, "strerror", None) or exc
        msg = (
            f"no daemon answers on {host} port {port} ({why}); is it running "
            "(systemctl status lsm-monitor)? Is --port the 'http.port' of its file?"
        )
        raise DaemonUnreachableError(msg) from None
    except http.client.HTTPException as exc:
        raise _not_ours(host, port, type(exc).__name__) from None
    except ValidationError as exc:
        raise _not_ours(host, port, f"{exc.error_count()} unexpected values") from None


def _sendable(token: SecretStr) -> str:
    text = token.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        msg = "--token-file: a token is one line of ASCII text, and this one is not"
        raise DaemonUnreachableError(msg)
    return text


def _connection(host: str, port: int, certificate: Path | None) -> http.client.HTTPConnection:
    if certificate is None:
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is that very certificate, for whatever name
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except OSError as exc:
        msg = f"{certificate}: is no certificate that can be read ({exc.strerror or 'not PEM'})"
        raise DaemonUnreachableError(msg) from None
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)


def describe(stats: Stats, now: datetime) -> Iterator[str]:
    """Return lines for a person: the daemon, then a row for each camera, worst first."""
    # Whoever has the port wrote this: nothing in it may be a terminal's command.
    return map(_printable, _lines(stats, now))


def _lines(stats: Stats, now: datetime) -> Iterator[str]:
    yield (
        f"{stats.site}: lsm-monitor {stats.version}, {stats.model}, up "
        f"{_duration(now, stats.started_at)}, {'ready' if stats.ready else 'not ready'}"
    )
    waiting = stats.metrics.get("lsm_outbox_messages", 0.0)
    broker = "connected" if stats.metrics.get("lsm_mqtt_connected") else "not connected"
    yield f"broker {broker}, {waiting:g} messages wait"
    rows = [_row(name, camera, now) for name, camera in _worst_first(stats)]
    yield from _table([_HEADER, *rows])


def as_json_line(body: bytes) -> str:
    """Return the daemon's answer on one line, keys of a newer daemon included."""
    return json.dumps(json.loads(body))


def _worst_first(stats: Stats) -> list[tuple[str, CameraStats]]:
    return sorted(
        stats.cameras.items(),
        key=lambda item: (-max(_fractions(item[1]), default=-1.0), item[0]),
    )


def _fractions(camera: CameraStats) -> list[float]:
    return [z.water_fraction for z in camera.zones.values() if z.water_fraction is not None]


def _row(name: str, camera: CameraStats, now: datetime) -> tuple[str, ...]:
    worst = max(camera.zones.values(), key=lambda z: z.water_fraction or -1.0, default=None)
    fraction = None if worst is None else worst.water_fraction
    return (
        name,
        camera.state,
        "unknown" if worst is None else worst.level,
        "-" if fraction is None else f"{fraction:.1%}",
        camera.connection_quality or "-",
        "never"
        if camera.last_frame_at is None
        else f"{_duration(now, camera.last_frame_at)} ago",
        " ".join([*camera.codes, camera.detail]).strip(),
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _printable(text: str) -> str:
    """Return ``text`` without what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _duration(now: datetime, since: datetime) -> str:
    seconds = max(0.0, (now - since).total_seconds())
    for unit, length_s in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _not_ours(host: str, port: int, what: str) -> DaemonUnreachableError:
    return DaemonUnreachableError(
        f"what answers on {host} port {port} is not this version of lsm-monitor ({what}); is "
        "--port the 'http.port' of its file?"
    )
