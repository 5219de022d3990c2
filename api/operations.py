"""What an operation of the interface takes and answers, declared on the handler that does it.

The routes, /openapi.json and the page at / are all made from these declarations (api.app), so none can lack one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Handler = Callable[[Request], Awaitable[Response]]
Parameter = dict[str, Any]

TEXT = {"type": "string"}


class Operation(NamedTuple):
    method: str
    """In capitals."""
    path: str
    summary: str
    answers: dict[int, type[msgspec.Struct] | str]
    """Status to body: a Struct (JSON) or a media type. An empty media type: no body."""
    problems: tuple[int, ...]
    """Statuses of the problems that it answers, beside 401, 422 (a parameter that it does not know) and 500."""
    parameters: tuple[Parameter, ...]
    body: type[msgspec.Struct] | None
    public: bool
    """Without a key."""
    handle: Handler


def operation(
    method: str,
    path: str,
    summary: str,
    answers: dict[int, type[msgspec.Struct] | str],
    *,
    problems: tuple[int, ...] = (),
    parameters: tuple[Parameter, ...] = (),
    body: type[msgspec.Struct] | None = None,
    public: bool = False,
) -> Callable[[Handler], Operation]:
    """Makes a handler an operation."""

    def declare(handle: Handler) -> Operation:
        return Operation(method, path, summary, answers, problems, parameters, body, public, handle)

    return declare


def query(name: str, schema: dict[str, Any], description: str) -> Parameter:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def header(name: str, description: str) -> Parameter:
    return {"name": name, "in": "header", "schema": TEXT, "description": description}


def in_path(name: str) -> Parameter:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


def routes_of(operations: Iterable[Operation]) -> list[Route]:
    """A route for each path, in order. A path with several methods has one route, so that a wrong method is told of
    all of them."""
    by_path: dict[str, dict[str, Operation]] = {}
    for each in operations:
        by_path.setdefault(each.path, {})[each.method] = each
    return [Route(path, _endpoint(by_method), methods=list(by_method)) for path, by_method in by_path.items()]


def _endpoint(by_method: dict[str, Operation]) -> Handler:
    if len(by_method) == 1:
        (only,) = by_method.values()
        return only.handle

    async def endpoint(request: Request) -> Response:
        return await by_method["GET" if request.method == "HEAD" else request.method].handle(request)

    return endpoint
