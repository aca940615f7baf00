"""What a request gets that cannot be answered: RFC 9457 problem details, one form for all.

A problem says what was wrong and what to do instead. It never says more than whoever asks
may know, and it never carries what they sent.
"""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lsm_monitor.errors import StoreError

MEDIA_TYPE = "application/problem+json"
_MAX_TOLD = 5
_PLAIN_DETAILS = {
    400: "the body is not JSON",
    404: "there is nothing here",
    405: "this address does not take this method",
}


class Problem(HTTPException):
    """Ends a request with problem details.

    Args:
        status: HTTP status.
        detail: One sentence for a person: what is wrong, and what to do.
        headers: Sent along, such as ``Retry-After``.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)


class ProblemBody(BaseModel):
    """RFC 9457."""

    title: str = Field(description="The status in words.")
    detail: str = Field(description="What is wrong, and what to do.")
    status: int = Field(ge=400, le=599)


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that says ``detail``."""
    body = ProblemBody(title=http.HTTPStatus(status).phrase, detail=detail, status=status)
    everything = {"Cache-Control": "no-store", **(headers or {})}
    return JSONResponse(body.model_dump(), status, headers=everything, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of an endpoint that may end with these problems.

    With 421, which the guard may answer to any request.
    """
    content = {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema()}}
    return {
        status: {"description": http.HTTPStatus(status).phrase, "content": content}
        for status in (*statuses, 421)
    }


def install(app: FastAPI) -> None:
    """Have every refusal of ``app`` told as problem details."""

    @app.exception_handler(HTTPException)
    async def _refused(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)  # noqa: S101 - what it is registered for
        is_ours = isinstance(exc, Problem)
        detail = exc.detail if is_ours else _PLAIN_DETAILS.get(exc.status_code, exc.detail)
        return problem_response(exc.status_code, detail, exc.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)  # noqa: S101 - as above
        told = [
            f"{'.'.join(map(str, error['loc'][1:])) or error['loc'][0]}: {error['msg']}"
            for error in exc.errors()[:_MAX_TOLD]
        ]
        return problem_response(http.HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(told))

    @app.exception_handler(Exception)
    async def _fault(_: Request, exc: Exception) -> Response:  # noqa: ARG001 - it is logged
        return problem_response(500, "a fault of ours; the log has it")

    @app.exception_handler(StoreError)
    async def _disk(_: Request, exc: Exception) -> Response:
        return problem_response(http.HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
