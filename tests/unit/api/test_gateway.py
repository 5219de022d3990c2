"""Behind a gateway: a prefix, TLS in front, another host, a slash too many (case C26)."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urljoin

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api.__main__ import GATEWAYS, ApiServer
from api.app import DOCUMENT, PAGE, Application, without_slash
from api.replies import location
from runtime.settings import Settings
from tests.unit.api.served import ServedApi

JOB = "main-" + "0" * 32


@pytest.mark.parametrize("path", ["/healthz/", "/openapi.json/", "//"])
@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-Proto": "https"}, {"Host": "api.example.com"}])
def test_a_slash_too_many_is_no_redirect(path: str, headers: dict[str, str]) -> None:
    answer = ServedApi().request("GET", f"http://127.0.0.1:8470{path}", headers=headers)
    assert (answer.status_code, "Location" in answer.headers) == (200, False)


def test_what_is_not_there_is_not_there_with_a_slash_either() -> None:
    for path in ("/v1/nothing", "/v1/nothing/", "/healthz//", "//example.com/"):
        answer = ServedApi().request("GET", f"http://127.0.0.1:8470{path}")
        assert (answer.status_code, "Location" in answer.headers) == (404, False)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    "base",
    ["http://127.0.0.1:8470", "https://api.example.com", "https://example.com/headrace", "https://example.com/a/b"],
)
def test_a_location_leads_to_the_job_through_every_gateway(base: str, slash: str) -> None:
    """The gateway takes its prefix off; the client resolves the Location against the URL that it asked."""
    asked = f"{base}/v1/jobs{slash}"
    scope = without_slash({"type": "http", "path": f"/v1/jobs{slash}", "headers": []})
    where = location(Request(scope), JOB)
    assert urljoin(asked, where) == f"{base}/v1/jobs/{JOB}"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/headrace/healthz", 200),
        ("/headrace/healthz/", 200),
        ("/headrace", 200),
        ("/headrace/", 200),
        ("/healthz", 200),
        ("/headracehealthz", 404),
        ("/headrace/headrace/healthz", 404),
        ("/other/healthz", 404),
    ],
)
def test_a_gateway_may_leave_its_prefix_where_it_is(path: str, status: int) -> None:
    answer = ServedApi(prefix="/headrace").request("GET", path)
    assert (answer.status_code, "Location" in answer.headers) == (status, False)


def test_documents_name_nothing_from_the_root_of_a_host() -> None:
    assert b'"servers":[{"url":"."}]' in DOCUMENT
    assert 'href="/' not in PAGE


@pytest.mark.parametrize(("gateways", "seen"), [(None, "127.0.0.1"), ("127.0.0.1", "198.51.100.7")])
def test_an_address_that_a_caller_claims_is_believed_of_named_gateways_only(
    monkeypatch: pytest.MonkeyPatch, gateways: str | None, seen: str
) -> None:
    monkeypatch.delenv(GATEWAYS, raising=False)
    if gateways:
        monkeypatch.setenv(GATEWAYS, gateways)
    clients: list[str] = []

    class Watched(Application):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            clients.append(scope["client"][0])

    config = ApiServer(Watched(Settings())).config
    config.load()
    scope = {"type": "http", "client": ("127.0.0.1", 5), "headers": [(b"x-forwarded-for", b"198.51.100.7")]}
    nothing: Any = None
    asyncio.run(config.loaded_app(scope, nothing, nothing))
    assert clients == [seen]
