"""What hostile bytes can reach through the page: its port, whole, and the users file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsm_monitor.errors import ConfigError
from lsm_monitor.types import EventKind
from lsm_monitor.web.users import read_users
from tests.fuzz.harness import BrokenPromiseError, Target
from tests.fuzz.network_targets import bombarded
from tests.unit.publish.scenes import EVENT_ID, event_of, messages_of
from tests.web_daemon import WebDaemon

_GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_POST = (
    b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-CSRF-Token: %s\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)
_WORDS = (
    b"Host: evil.example",
    b"Origin: http://localhost",
    b"Sec-Fetch-Site: cross-site",
    b"Cookie: lsm_session=",
    b"X-Forwarded-For: ::1%x, ",
    b"Range: bytes=0-,-1",
    b"If-None-Match: ",
    b"%2e%2e%2f",
    b"\xff\xfe",
    b'{"verdict": "other", "note": "\\ud800"}',
    b"?limit=1e9&before=",
    b"Transfer-Encoding: chunked",
)


@contextmanager
def page_target(folder: Path) -> Iterator[Target]:
    """The page without users: raw bytes to everything that it answers."""
    with WebDaemon(folder) as daemon, bombarded(daemon) as run:
        event = event_of(EventKind.OPEN, seq=1)
        daemon.outbox.record(event, messages_of(event), now=daemon.clock.now())
        csrf = daemon.get("/api/session").json["csrf"].encode()
        episode = f"/api/episodes/{EVENT_ID}".encode()
        gets = (
            b"/",
            b"/static/0123456789ab/index.html",
            b"/api/cameras/bridge/picture.jpg?kind=mask",
            b"/api/cameras/bridge/readings?start=2026-01-01T00:00:00Z&points=5",
            b"/api/episodes?state=all&limit=5&camera=bridge",
            b"/api/evidence/%s/1.jpg" % str(EVENT_ID).encode(),
            episode,
        )
        verdict = b'{"verdict": "reflection", "note": "wet"}'
        login = b'{"user": "ann", "password": "x"}'
        posts = (
            _POST % (episode + b"/feedback", csrf, len(verdict), verdict),
            _POST % (episode + b"/acknowledge", csrf, 2, b"{}"),
            _POST % (b"/api/login", csrf, len(login), login),
        )
        yield Target("page", (*(_GET % path for path in gets), *posts), run, (), _WORDS)


def users_target(folder: Path) -> Target:
    """The users file."""
    path = folder / "users.yaml"
    path.touch(mode=0o600)
    password_hash = b"$argon2id$v=19$m=19456,t=2,p=1$fzDPB/STmOj1ZysHp9CLBQ$aSMwer5Eq0FIhjxrdk"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read_users(path)
        except ConfigError as exc:
            if password_hash.decode() in str(exc):
                raise BrokenPromiseError(str(exc)) from None
            raise

    seeds = (
        b"users:\n  ann:\n    role: viewer\n    password: " + password_hash + b"\n",
        b'{"users": {"ann": {"role": "admin", "password": "' + password_hash + b'"}}}',
    )
    words = (b"!!python/object/apply:os.system ['id']", b"&a [*a]", b"<<: *a", b"null", b"\x00")
    return Target("users", seeds, run, (ConfigError,), words)
