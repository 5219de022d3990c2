"""Errors as people and programs read them: application/problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from runtime.postgres import outage
from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:headrace:problem:"
RETRY_AFTER_S = 1


class Problem(Exception):
    """The answer to a request is an error.

    `code` names the kind of problem for programs and ends the `type` URN. `detail` says what was expected, what was
    found and what to do. `more` are further members. `retry_after_s` > 0 says when a retry makes sense."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after_s: int = 0,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.more = more
        self.headers = dict(headers or {})
        if retry_after_s:
            self.headers["Retry-After"] = str(retry_after_s)


def body_of(problem: Problem, request_id: str) -> dict[str, Any]:
    """The members of the problem document."""
    return {
        "type": TYPE_PREFIX + problem.code,
        "title": problem.code.replace("-", " ").capitalize(),
        "status": problem.status,
        "detail": problem.detail,
        "instance": f"urn:headrace:request:{request_id}",
        **problem.more,
    }


def respond(request: Request, problem: Problem) -> Response:
    request_id = str(request.scope.get("headrace.request", ""))
    return Response(
        msgspec.json.encode(body_of(problem, request_id)),
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


async def on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(request, error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """The router found no such path, or no such method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        detail = "nothing has this path; /openapi.json lists every path"
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"expected {allowed}, found {request.method}"
    else:
        detail = status.description or status.phrase
    code = status.phrase.lower().replace(" ", "-")
    return respond(request, Problem(error.status_code, code, detail, headers=error.headers))


async def on_database_error(request: Request, error: Exception) -> Response:
    """Postgres is away, read-only or slow, or ended a statement. This request wrote nothing to the broker."""
    if not outage(error):
        raise error  # Postgres refuses what we asked: a defect of ours, which the log names
    problem = Problem(
        503,
        "database-unavailable",
        f"{in_a_sentence(error)}. Nothing was submitted: send the same request again in a moment",
        retry_after_s=RETRY_AFTER_S,
    )
    return respond(request, problem)


async def on_unexpected(request: Request, error: Exception) -> Response:
    """A defect of ours. The log says where it happened, under the same id (api.guard)."""
    request_id = str(request.scope.get("headrace.request", ""))
    detail = f"the request failed for a reason that is ours; report it with the id {request_id}"
    return respond(request, Problem(500, "internal-error", detail, id=request_id))


HANDLERS: Mapping[Any, Any] = {
    Problem: on_problem,
    HTTPException: on_http_exception,
    **dict.fromkeys(DATABASE_ERRORS, on_database_error),
    Exception: on_unexpected,
}
"""For Starlette: exception class to handler."""
