"""Logging in and out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Depends, Request, Response

import lsm_monitor
from lsm_monitor.metrics import Metrics
from lsm_monitor.web.access import COOKIE, Access
from lsm_monitor.web.limits import LoginLimits
from lsm_monitor.web.models import Login, LoginAnswer, Nothing, SessionAnswer
from lsm_monitor.web.passwords import PasswordDesk, TooManyChecksError
from lsm_monitor.web.problems import Problem, documented
from lsm_monitor.web.users import is_user_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """What logging in needs.

    Attributes:
        access: Knows users and sessions.
        passwords: Checks them.
        limits: Bounds how often.
        metrics: Counts attempts.
    """

    access: Access
    passwords: PasswordDesk
    limits: LoginLimits
    metrics: Metrics

    async def log_in(self, login: Login, request: Request) -> tuple[str, LoginAnswer]:
        """Return the id of a new session, and what the page is told.

        Raises:
            Problem: Not so, or not now.
        """
        if self.access.users is None:
            raise Problem(409, "there are no users here, and no need to log in")
        address = request.client.host if request.client else "unknown"
        name = login.user if is_user_name(login.user) else ""
        wait_s = self.limits.wait_s(address, name)
        if wait_s:
            self._note("limited", login.user, address)
            raise _later(wait_s)
        await self.access.refresh_users()
        user = self.access.users.get(name)
        try:
            right = await self.passwords.check(
                login.password, None if user is None else user.password
            )
        except TooManyChecksError:
            self._note("limited", login.user, address)
            raise _later(1) from None
        if user is None or not right:
            self._note("refused", login.user, address)
            raise Problem(401, "name or password is wrong")
        self.limits.succeeded(name)
        self._note("ok", name, address)
        self.access.sessions.end(request.cookies.get(COOKIE))
        session_id, session = self.access.sessions.begin(name, user)
        return session_id, LoginAnswer(user=name, role=session.role, csrf=session.csrf)

    def _note(self, outcome: str, name: str, address: str) -> None:
        self.metrics.logins.labels(outcome).inc()
        level = logging.INFO if outcome == "ok" else logging.WARNING
        logger.log(level, "login of %r from %s: %s", name[:64], address, outcome)


def routes(
    door: Door, *, site: str, started_at: datetime, known: Callable[..., object]
) -> APIRouter:
    """Return the endpoints.

    Args:
        door: Lets people in.
        site: Name of the installation.
        started_at: When the daemon started, timezone-aware UTC.
        known: Dependency that lets through who is logged in.
    """
    router = APIRouter(prefix="/api", tags=["session"])

    @router.get("/session")
    async def session(request: Request) -> SessionAnswer:
        """Who asks, and whether they have to log in."""
        principal = await door.access.principal(request)
        return SessionAnswer(
            user=principal.name or None if principal else None,
            role=principal.role if principal else None,
            csrf=principal.csrf if principal else None,
            auth_required=door.access.users is not None,
            site=site,
            version=lsm_monitor.__version__,
            started_at=started_at,
        )

    @router.post("/login", responses=documented(400, 401, 403, 408, 409, 413, 422, 429))
    async def login(login: Login, request: Request, response: Response) -> LoginAnswer:
        """Begin a session; its id comes as a cookie."""
        session_id, answer = await door.log_in(login, request)
        response.set_cookie(
            COOKIE,
            session_id,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.post(
        "/logout",
        dependencies=[Depends(known)],
        responses=documented(400, 401, 403, 408, 413, 422),
    )
    async def logout(request: Request, response: Response, _: Nothing | None = None) -> Nothing:
        """End the session."""
        door.access.sessions.end(request.cookies.get(COOKIE))
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return Nothing()

    return router


def _later(wait_s: int) -> Problem:
    return Problem(
        429,
        f"too many attempts to log in; try again in {wait_s} s",
        headers={"Retry-After": str(wait_s)},
    )
