"""What holds for every request and every answer, before any endpoint is asked.

A request must mean us (``Host``) and must not come from another site's page; the numbers
for Prometheus need a login or a token unless they are asked for on this machine. An answer
says what a browser may do with it: nothing from elsewhere, no frames, no guessing of types.
Only the health checks are answered whatever the request looks like.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Collection

from fastapi import Request, Response
from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lsm_monitor.web.access import Access
from lsm_monitor.web.origins import is_foreign_fetch, is_local, is_our_host, is_same_origin
from lsm_monitor.web.problems import Problem, problem_response

_HEALTH = frozenset({"/healthz", "/readyz"})
_NUMBERS = frozenset({"/metrics", "/api/stats"})
MAX_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 10.0
_TOO_LARGE = f"the body is too large; nothing here takes more than {MAX_BODY_BYTES} bytes"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware; see the module.

    Args:
        app: What it guards.
        access: Knows who asks.
        names: The names under which we may be asked.
        token: What Prometheus may show instead of a session.
    """

    def __init__(
        self, app: ASGIApp, *, access: Access, names: Collection[str], token: SecretStr | None
    ) -> None:
        self._app = app
        self._access = access
        self._names = names
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _DEFAULT_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refusal(scope)
        # Nobody reads the body of a GET; who streams an answer listens for the client's end.
        may_have_body = scope["method"] not in _SAFE_METHODS
        body = _bounded(receive) if may_have_body else receive
        await (refusal or self._app)(scope, body, send_with_headers)

    async def _refusal(self, scope: Scope) -> Response | None:
        """Return why a request is not answered, or ``None``."""
        path, headers = scope["path"], Headers(scope=scope)
        if _content_length(headers) > MAX_BODY_BYTES:
            return problem_response(413, _TOO_LARGE)
        if path in _HEALTH:
            return None
        if not is_our_host(headers.get("host"), self._names):
            return problem_response(
                421,
                "this name is not ours; ask by address, or add the name to "
                "'http.allowed_hosts' in the daemon's configuration",
            )
        if path in _NUMBERS and not await self._may_see_numbers(scope):
            return problem_response(
                401,
                "log in, or send 'Authorization: Bearer' with 'http.metrics_token'",
                {"WWW-Authenticate": "Bearer"},
            )
        return _foreign(scope, headers)

    async def _may_see_numbers(self, scope: Scope) -> bool:
        return (
            is_local(scope)
            or self._is_token(Headers(scope=scope).get("authorization", ""))
            or await self._access.principal(Request(scope)) is not None
        )

    def _is_token(self, authorization: str) -> bool:
        if self._token is None:
            return False
        wanted = f"Bearer {self._token.get_secret_value()}"
        return hmac.compare_digest(authorization.encode(), wanted.encode())


def _foreign(scope: Scope, headers: Headers) -> Response | None:
    """Return why a request that another site's page makes is not answered, or ``None``."""
    if scope["method"] not in _SAFE_METHODS and not is_same_origin(headers, scope["scheme"]):
        return problem_response(
            403,
            "this does not come from our own page; behind a proxy, list it in "
            "'http.trusted_proxies' and have it pass on Host and X-Forwarded-Proto",
        )
    if scope["path"].startswith("/api/") and is_foreign_fetch(headers):
        return problem_response(403, "this request comes from another site's page")
    return None


def _content_length(headers: Headers) -> int:
    """Return how long the body says it is; the server has checked that it is a number."""
    return int(headers.get("content-length", "0"))


def _bounded(receive: Receive) -> Receive:
    """Return ``receive``, which refuses a body that is too large or comes too slowly.

    The server cuts off who says nothing, but not who is being answered: an endpoint that waits
    for the rest of a body would wait for ever, and keep a connection from others.
    """
    deadline_s = asyncio.get_running_loop().time() + BODY_WITHIN_S
    received = 0

    async def bounded() -> Message:
        nonlocal received
        try:
            async with asyncio.timeout_at(deadline_s):
                message = await receive()
        except TimeoutError:
            raise Problem(408, "the body did not come in time") from None
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise Problem(413, _TOO_LARGE)
        return message

    return bounded
