"""No handler sees a value of a path or a query that no part behind it could hold, whatever the operation is."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api.app import OPERATIONS, Application
from api.operations import Operation
from runtime.settings import Settings

NOT_PLAIN = ["\0", "a\0b", "9" * 5_000, "x" * 1_001]
PARAMETERS = [
    pytest.param(operation, parameter, id=f"{operation.method} {operation.path} {parameter['name']}")
    for operation in OPERATIONS
    for parameter in operation.parameters
    if parameter["in"] in ("path", "query")
]


def asked(operation: Operation, url: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Application(Settings()))  # without resources: any handler would fail
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8470") as client:
            return await client.request(operation.method, url)

    return asyncio.run(ask())


@pytest.mark.parametrize(("operation", "parameter"), PARAMETERS)
def test_it_is_refused_before_any_handler(operation: Operation, parameter: dict[str, Any]) -> None:
    for value in NOT_PLAIN:
        if parameter["in"] == "path":
            given, expected = {parameter["name"]: quote(value, safe="")}, 404
            url = operation.path
        else:
            given, expected = {}, 422
            url = f"{operation.path}?{parameter['name']}={quote(value, safe='')}"
        for name in ("job", "model", "attempt", "upload"):
            url = url.replace(f"{{{name}}}", given.get(name, "1"))
        response = asked(operation, url)
        assert response.status_code == expected, (value[:3], response.text)
        assert response.headers["Content-Type"] == "application/problem+json"


def test_the_name_of_a_parameter_is_looked_at_too() -> None:
    (jobs,) = [operation for operation in OPERATIONS if (operation.method, operation.path) == ("GET", "/v1/jobs")]
    response = asked(jobs, f"/v1/jobs?{'n' * 1_001}=1")
    assert (response.status_code, response.json()["type"]) == (422, "urn:headrace:problem:parameter-invalid")
