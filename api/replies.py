"""Answers as JSON, and what all routes read from a request in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.problems import Problem
from api.resources import resources_of
from contract.names import JOB
from views import queries
from views.rows import JobRow

ENDS_WITH_SLASH = "headrace.slash"
"""In the scope of a request whose path ended with a slash as the client sent it."""


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def location(request: Request, name: str) -> str:
    """A Location that names what lies one level below the path of the request: relative to that path, so that the
    client finds it whatever scheme, host and prefix a gateway has put in front."""
    if ENDS_WITH_SLASH in request.scope:
        return name
    return f"{request.scope['path'].rpartition('/')[2]}/{name}"


async def own_job(request: Request, tenant: str) -> JobRow:
    """The job that the path names. Problem 404 when the tenant has no such job."""
    name = request.path_params["job"]
    row = await resources_of(request).read(queries.job, tenant, name) if JOB.fullmatch(name) else None
    if row is None:
        raise Problem(404, "unknown-job", "you have no job with this id; GET /v1/jobs lists yours")
    return row


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The parameters of the query. Problem 422 for a parameter that the route does not know or that is given twice."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            expected = ", ".join(known) or "none"
            raise Problem(422, "unknown-parameter", f"expected the parameters {expected}, found {name[:80]!r}")
        if name in given:
            raise Problem(422, "parameter-twice", f"expected the parameter {name} once, found it again")
        given[name] = value
    return given
