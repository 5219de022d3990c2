"""The document describes every route, and every reference in it leads somewhere."""

from __future__ import annotations

import json
import re

from starlette.routing import Route

from api.app import ROUTES
from api.index import PAGE
from api.openapi import document


def test_every_route_is_described() -> None:
    described = {(path, method) for path, operations in document()["paths"].items() for method in operations}
    routed = {
        (route.path, method.lower())
        for route in ROUTES
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routed


def test_every_reference_is_defined_and_nothing_else_is() -> None:
    text = json.dumps(document())
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    # what only streams carry is described in words
    assert set(document()["components"]["schemas"]) - {"JobEvent"} == named - {"JobEvent"}


def test_path_parameters_are_declared() -> None:
    for path, operations in document()["paths"].items():
        for operation in operations.values():
            declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))


def test_only_health_and_documents_are_open_to_all() -> None:
    public = {path for path, ops in document()["paths"].items() for op in ops.values() if op.get("security") == []}
    assert not any(path.startswith("/v1/") for path in public)
    protected = [op for path, ops in document()["paths"].items() for op in ops.values() if path.startswith("/v1/")]
    assert all("401" in op["responses"] for op in protected)


def test_the_page_needs_no_script_and_lists_every_path() -> None:
    assert "<script" not in PAGE
    assert all(path in PAGE for path in document()["paths"])
