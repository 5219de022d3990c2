"""The document describes every route, and every reference in it leads somewhere."""

from __future__ import annotations

import json
import re

from starlette.routing import Route

from api.app import OPERATIONS, PAGE, ROUTES
from api.openapi import document
from api.operations import routes_of

DOCUMENT = document(OPERATIONS)


def test_every_route_is_made_of_an_operation_and_described() -> None:
    described = {(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations}
    routed = {
        (route.path, method.lower())
        for route in ROUTES
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routed


def test_every_reference_is_defined_and_nothing_else_is() -> None:
    text = json.dumps(DOCUMENT)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    # what only streams carry is described in words
    assert set(DOCUMENT["components"]["schemas"]) - {"JobEvent"} == named - {"JobEvent"}


def test_path_parameters_are_declared() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))


def test_only_health_and_documents_are_open_to_all() -> None:
    public = {path for path, ops in DOCUMENT["paths"].items() for op in ops.values() if op.get("security") == []}
    assert not any(path.startswith("/v1/") for path in public)
    protected = [op for path, ops in DOCUMENT["paths"].items() for op in ops.values() if path.startswith("/v1/")]
    assert all("401" in op["responses"] for op in protected)


def test_the_page_needs_no_script_and_lists_every_path() -> None:
    assert "<script" not in PAGE
    assert all(path in PAGE for path in DOCUMENT["paths"])


def test_a_path_with_two_methods_is_one_route_that_tells_of_both() -> None:
    (route,) = [route for route in routes_of(OPERATIONS) if route.path == "/v1/jobs"]
    assert route.methods == {"GET", "HEAD", "POST"}
