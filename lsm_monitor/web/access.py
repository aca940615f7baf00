"""Who may do what: every endpoint names the least role, and this decides.

Without a users file the port is for this machine alone, and whoever is on it may do anything.
With one, people log in, on this machine, too. Everything that changes something must come
from the page itself: same origin, and the session's token in a header.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, APIKeyHeader

from lsm_monitor.clock import Clock
from lsm_monitor.web.models import Role
from lsm_monitor.web.origins import is_local
from lsm_monitor.web.problems import Problem
from lsm_monitor.web.sessions import Sessions
from lsm_monitor.web.users import Users
from lsm_monitor.web.workers import Workers

COOKIE = "lsm_session"
_CSRF_HEADER = "X-CSRF-Token"
_RANK: dict[Role, int] = {"viewer": 0, "operator": 1, "admin": 2}
_REFRESH_EVERY_S = 2.0
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_COOKIE_SCHEME = APIKeyCookie(name=COOKIE, auto_error=False, description="From /api/login.")
_CSRF_SCHEME = APIKeyHeader(
    name=_CSRF_HEADER, auto_error=False, description="'csrf' of /api/session."
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        name: The user's name; empty when there are no users.
        role: What they may do.
        csrf: Token of their session.
    """

    name: str
    role: Role
    csrf: str


class Access:
    """Decides about requests. For the event loop.

    Args:
        users: Who may log in; ``None``: there are no users.
        sessions: Who has.
        workers: Look at the users file.
        clock: Monotonic time.
    """

    def __init__(
        self, *, users: Users | None, sessions: Sessions, workers: Workers, clock: Clock
    ) -> None:
        self.users = users
        self.sessions = sessions
        self._workers = workers
        self._clock = clock
        self._refreshed_s = float("-inf")
        self._everybody = Principal("", "admin", secrets.token_urlsafe(32))

    async def principal(self, request: Request) -> Principal | None:
        """Return who asks, and so uses their session; ``None``: nobody that is known."""
        if self.users is None:
            return self._everybody if is_local(request.scope) else None
        await self.refresh_users()
        session_id = request.cookies.get(COOKIE)
        session = self.sessions.find(session_id)
        if session is None:
            return None
        if self.users.get(session.name) != session.user:
            self.sessions.end(session_id)
            return None
        return Principal(session.name, session.role, session.csrf)

    async def refresh_users(self) -> None:
        """Take over a changed users file, looked at every few seconds at most."""
        now_s = self._clock.monotonic_s()
        if self.users is not None and now_s - self._refreshed_s >= _REFRESH_EVERY_S:
            self._refreshed_s = now_s
            await self._workers.run(self.users.refresh)

    def needs(self, role: Role) -> Callable[..., Awaitable[Principal]]:
        """Return the dependency of endpoints for ``role`` and those above it."""

        async def check(
            request: Request,
            _cookie: Annotated[str | None, Depends(_COOKIE_SCHEME)] = None,
            csrf: Annotated[str | None, Depends(_CSRF_SCHEME)] = None,
        ) -> Principal:
            principal = await self.principal(request)
            if principal is None:
                raise Problem(401, self._why_unknown())
            if _RANK[principal.role] < _RANK[role]:
                raise Problem(403, f"this needs the role {role}; you are {principal.role}")
            if request.method not in _SAFE_METHODS and not _is_token(csrf, principal.csrf):
                raise Problem(
                    403, f"the header {_CSRF_HEADER} is missing or old; reload the page"
                )
            return principal

        return check

    def _why_unknown(self) -> str:
        if self.users is None:
            return (
                "there are no users, so only this machine itself may look; for others make "
                "users: see 'http.users_file'"
            )
        return "log in; the session has ended, or there was none"


def _is_token(given: str | None, wanted: str) -> bool:
    # Bytes: compare_digest takes no other characters than ASCII.
    return given is not None and hmac.compare_digest(given.encode(), wanted.encode())
