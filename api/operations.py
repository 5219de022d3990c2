"""What an operation of the interface takes and answers, declared on the handler that does it.

The routes, /openapi.json and the page at / are all made from these declarations (api.app), so none can lack one.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.problems import Problem

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
VALUE_CHARACTERS_MAX = 1_000
"""Of one value in a path or a query. The longest of ours, a cursor, has about 150."""

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
    """Statuses of the problems that it answers, beside 401, 422 (a parameter that it does not know), 429 and 500."""
    parameters: tuple[Parameter, ...]
    body: type[msgspec.Struct] | str | None
    """A Struct (JSON) or a media type."""
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
    body: type[msgspec.Struct] | str | None = None,
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
    async def endpoint(request: Request) -> Response:
        _require_plain(request)
        return await by_method["GET" if request.method == "HEAD" else request.method].handle(request)

    return endpoint


def _require_plain(request: Request) -> None:
    """No handler sees a value with a NUL, which the database takes in no text, with half a character, or so long that
    it costs work wherever it is read: in a path nothing has such a name (404), in a query it is refused (422)."""
    if not all(map(_is_plain, request.path_params.values())):
        raise HTTPException(404)
    if not all(_is_plain(text) for pair in request.query_params.multi_items() for text in pair):
        raise Problem(
            422,
            "parameter-invalid",
            f"expected at most {VALUE_CHARACTERS_MAX} characters, without NUL, in each name and value of the query,"
            " found others",
        )


def _is_plain(text: str) -> bool:
    return len(text) <= VALUE_CHARACTERS_MAX and not _UNWRITABLE.search(text)
