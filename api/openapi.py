"""GET /openapi.json: the interface as OpenAPI 3.1, with schemas made from api.bodies. GET /: a page that lists it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api import bodies
from api.operations import Operation, operation
from api.problems import MEDIA_TYPE
from api.replies import reply
from registry import keys

_STREAMED = (bodies.JobEvent, bodies.ProgressBody, bodies.ProblemBody)


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    operations = list(operations)
    structs = {body for each in operations for body in _structs_of(each)} | set(_STREAMED)
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _described(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": "1",
            "description": "Runs generation jobs on GPU clusters. Every error is a problem (RFC 9457).",
        },
        # relative to where this document was found, whatever a gateway has put in front
        "servers": [{"url": "."}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"An API key: `{keys.PATTERN}`, or one of an older release.",
                }
            },
        },
    }


def _structs_of(its: Operation) -> list[type[msgspec.Struct]]:
    structs = [body for body in its.answers.values() if not isinstance(body, str)]
    return structs if its.body is None or isinstance(its.body, str) else [*structs, its.body]


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _described(its: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {
        str(status): _answer(body) for status, body in sorted(its.answers.items(), key=lambda pair: pair[0])
    }
    problems = its.problems if its.public else sorted({401, 422, 429, *its.problems, 500})
    problem = {"description": "A problem.", "content": {MEDIA_TYPE: {"schema": _ref(bodies.ProblemBody)}}}
    answers |= {str(status): problem for status in problems if str(status) not in answers}
    described: dict[str, Any] = {"summary": its.summary, "responses": answers}
    if its.parameters:
        described["parameters"] = list(its.parameters)
    if its.body:
        content = {its.body: {}} if isinstance(its.body, str) else {"application/json": {"schema": _ref(its.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if its.public:
        described["security"] = []
    return described


def _answer(body: type[msgspec.Struct] | str) -> dict[str, Any]:
    if body == "":
        return {"description": "Nothing more will come."}
    if isinstance(body, str):
        return {"description": "As asked.", "content": {body: {}}}
    return {
        "description": (body.__doc__ or "As asked.").strip(),
        "content": {"application/json": {"schema": _ref(body)}},
    }


def page(operations: Iterable[Operation]) -> str:
    """A page for whoever opens the address in a browser: where to go, and every operation."""
    rows = "\n".join(
        f"<tr><td><code>{its.method}</code></td><td><code>{escape(its.path)}</code></td>"
        f"<td>{escape(its.summary)}</td></tr>"
        for its in operations
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Headrace</title></head>
<body><h1>Headrace</h1>
<p>This is the API. Send your key as <code>Authorization: Bearer hr_…</code>;
<a href="openapi.json">/openapi.json</a> describes every path,
<a href="readyz">/readyz</a> says whether it is ready.</p>
<table>
{rows}
</table></body></html>
"""


@operation("GET", "/openapi.json", "This document.", {200: "application/json"}, public=True)
async def show_document(request: Request) -> Response:
    return reply(msgspec.Raw(request.app.state.document))


@operation("GET", "/", "A page that says where to go.", {200: "text/html"}, public=True)
async def show_page(request: Request) -> Response:
    return HTMLResponse(request.app.state.page)
