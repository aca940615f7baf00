"""What one camera's web server is asked for: login, redirects, and connections kept alive.

The password is sent to the host that stands in the configuration, and to no other that a
redirect names. Nothing that is raised contains it, nor an address with it: it exists in the
``Authorization`` header only.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from lsm_monitor.capture.http_connection import Connection, Origin
from lsm_monitor.capture.http_login import (
    Credentials,
    DigestChallenge,
    new_cnonce,
    parse_challenges,
)
from lsm_monitor.capture.open_failure import UNREACHABLE, open_failure
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.tls import tls_context
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceOpenError
from lsm_monitor.types import HealthCode

_MAX_REDIRECTS = 5
_MAX_IDLE_CONNECTIONS = 2
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GOOD = frozenset({200, 206, 304})
# What may stand in an address as it is; blanks and letters beyond ASCII may not.
_SAFE = "/?%:@!$&'()*+,;=~[]"
_NO_HOST = re.compile(r"[\x00-\x20\x7f]")
_CODES = {
    401: HealthCode.UNAUTHORIZED,
    403: HealthCode.UNAUTHORIZED,
    404: HealthCode.NOT_FOUND,
    410: HealthCode.NOT_FOUND,
}


class Answer:
    """A server's answer; the body is read in pieces. Close it when done.

    Attributes:
        status: 200, 206 for a part of a file, or 304 for what we have already.
        url: Address that answered, after redirects; without credentials.
        headers: By case-insensitive name.
    """

    def __init__(self, client: HttpClient, connection: Connection, url: str) -> None:
        self._client = client
        self._connection = connection
        response = connection.response
        assert response is not None  # noqa: S101 - it has just been read
        self._response = response
        self.status = response.status
        self.headers = response.headers
        self.url = url

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; empty at the end.

        Raises:
            SourceOpenError: Nothing came in time, or the connection broke.
        """
        try:
            return self._response.read1(size)
        except (OSError, http.client.HTTPException) as exc:
            code = self._client.code_of(exc)
        raise self._client.failure(code)

    def read_all(self, *, limit_bytes: int) -> bytes:
        """Return the whole body.

        Raises:
            SourceOpenError: It is longer than ``limit_bytes``, or did not come in time.
        """
        pieces: list[bytes] = []
        left = limit_bytes + 1
        while left > 0 and (piece := self.read(min(left, 65536))):
            pieces.append(piece)
            left -= len(piece)
        if left <= 0:
            self.close()
            raise self._client.failure(
                HealthCode.INVALID_DATA, f"the picture is larger than {limit_bytes >> 20} MB"
            )
        return b"".join(pieces)

    def allow(self, seconds: float) -> None:
        """Set the time that is left for what is still to be read."""
        self._connection.deadline.allow(seconds)

    def close(self) -> None:
        """Keep the connection for the next request if the body was read, else drop it."""
        self._client.give_back(self._connection)


class HttpClient:
    """Asks one camera, again and again.

    Args:
        spec: Whom, as whom, how long to wait, and whether to check its certificate.
        clock: Deadlines.
    """

    def __init__(self, spec: SourceSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._home = _origin(urlsplit(spec.url))
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._credentials: Credentials | None = None
        if spec.username is not None:
            password = "" if spec.password is None else spec.password.get_secret_value()
            self._credentials = Credentials(spec.username, password)
        self._challenge: DigestChallenge | None = None
        self._answers_to_challenge = 0
        self._uses_basic = False
        self._context = tls_context(spec)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to a GET of ``url``, after login and redirects.

        Raises:
            SourceOpenError: With the reason code of the cause.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._get_logged_in(url, headers or {})
            if answer.status not in _REDIRECTS:
                break
            location = answer.headers.get("Location", "")
            answer.close()
            url = self._redirected(answer.url, location)
        else:
            raise self.failure(HealthCode.PROTOCOL_ERROR, "it redirects for ever")
        if answer.status not in _GOOD:
            answer.close()
            code = _CODES.get(answer.status, HealthCode.PROTOCOL_ERROR)
            what = f"HTTP status {answer.status}"
            if code is HealthCode.UNAUTHORIZED:
                what += self._why_nobody_logged_in(answer.url)
            raise self.failure(code, what)
        return answer

    def failure(self, code: HealthCode, what: str | None = None) -> SourceOpenError:
        """Return the error for a person: who, what, why, what to do."""
        return SourceOpenError(open_failure(self._spec, code, what), code)

    def code_of(self, error: Exception) -> HealthCode:
        """Return why a connection failed."""
        match error:
            case socket.gaierror() | UnicodeError():
                return HealthCode.DNS_FAILED
            case TimeoutError():
                return HealthCode.OPEN_TIMEOUT
            case ConnectionRefusedError():
                return HealthCode.CONNECTION_REFUSED
            case OSError() if error.errno in UNREACHABLE:
                return HealthCode.HOST_UNREACHABLE
            case _:
                return HealthCode.PROTOCOL_ERROR

    def give_back(self, connection: Connection) -> None:
        """Keep ``connection`` for the next request, or close it; idempotent."""
        self._busy.discard(connection)
        if connection in self._idle:
            return
        if not connection.can_be_reused():
            connection.close()
            return
        self._idle.append(connection)
        while len(self._idle) > _MAX_IDLE_CONNECTIONS:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close every connection, also those whose answers nobody closed."""
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
        self._busy.clear()

    def _get_logged_in(self, url: str, headers: Mapping[str, str]) -> Answer:
        answer = self._get_once(url, headers)
        if answer.status != 401 or not self._may_log_in(url):  # noqa: PLR2004
            return answer
        challenge, has_basic = parse_challenges(answer.headers.get_all("WWW-Authenticate", []))
        answer.close()
        self._challenge, self._answers_to_challenge = challenge, 0
        self._uses_basic = challenge is None and has_basic
        if challenge is None and not has_basic:
            raise self.failure(HealthCode.UNAUTHORIZED, "it asks for a login we do not know")
        return self._get_once(url, headers)

    def _get_once(self, url: str, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = quote(target, safe=_SAFE)
        sent = {"Accept-Encoding": "identity", "User-Agent": "lsm-monitor", **headers}
        if self._may_log_in(url) and (login := self._login(target)) is not None:
            sent["Authorization"] = login
        origin = _origin(parts)
        while True:
            connection = self._connection(origin)
            code, what = HealthCode.PROTOCOL_ERROR, None
            try:
                connection.exchange(target, sent, timeout_s=self._spec.open_timeout_s)
                return Answer(self, connection, url)
            except ssl.SSLCertVerificationError as exc:
                what = f"its certificate is not trusted: {exc.verify_message}"
            except (OSError, http.client.HTTPException, UnicodeError) as exc:
                code = self.code_of(exc)
            self._busy.discard(connection)
            connection.close()
            # A server may hang up on an idle connection at any time; that is no failure.
            if not connection.is_reused or code is HealthCode.OPEN_TIMEOUT:
                raise self.failure(code, what)

    def _connection(self, origin: Origin) -> Connection:
        connection = next((idle for idle in self._idle if idle.origin == origin), None)
        if connection is None:
            connection = Connection(origin, self._context, self._clock)
        else:
            self._idle.remove(connection)
        self._busy.add(connection)
        return connection

    def _why_nobody_logged_in(self, url: str) -> str:
        parts = urlsplit(url)
        if self._credentials is None or _origin(parts) == self._home:
            return ""
        return (
            f" from {parts.scheme}://{parts.netloc}, to which it redirects: the login is sent "
            "only to where 'url' points"
        )

    def _may_log_in(self, url: str) -> bool:
        return self._credentials is not None and _origin(urlsplit(url)) == self._home

    def _login(self, target: str) -> str | None:
        assert self._credentials is not None  # noqa: S101 - _may_log_in says so
        if self._challenge is not None:
            self._answers_to_challenge += 1
            return self._credentials.digest(
                self._challenge,
                method="GET",
                target=target,
                count=self._answers_to_challenge,
                cnonce=new_cnonce(),
            )
        return self._credentials.basic() if self._uses_basic else None

    def _redirected(self, url: str, location: str) -> str:
        with contextlib.suppress(ValueError):
            target = urljoin(url, location)
            if location and is_address(target):
                parts = urlsplit(target)
                # Userinfo that a camera puts into its redirect is none of ours.
                netloc = parts.netloc.rpartition("@")[2]
                return parts._replace(netloc=netloc, fragment="").geturl()
        raise self.failure(HealthCode.PROTOCOL_ERROR, "it redirects to nowhere")


def is_address(url: str) -> bool:
    """Return whether ``url``, which a redirect or a playlist names, can be asked at all."""
    try:
        parts = urlsplit(url)
        origin = _origin(parts)
    except ValueError:  # no port, or half an IPv6 address
        return False
    is_host = bool(origin.host) and _NO_HOST.search(origin.host) is None
    return is_host and parts.scheme in {"http", "https"}


def _origin(parts: SplitResult) -> Origin:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, (parts.hostname or "").lower(), port)
