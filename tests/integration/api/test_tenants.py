"""Who may ask what, for every route of the application."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine
from starlette.routing import Route

from api.app import ROUTES
from registry import keys
from tests.integration.api.conftest import Caller, CallerFactory, Views
from tests.unit.views.ledger import job_of

CALLS = [
    (method, route.path.replace("{attempt}", "1"))
    for route in ROUTES
    for method in sorted((route.methods or set()) - {"HEAD"})
]
OF_A_JOB = [call for call in CALLS if "{job}" in call[1]]
OF_OPERATORS = [("GET", path) for path in ("/v1/clusters", "/v1/nodes", "/v1/policy")]


def test_the_lists_here_are_of_all_routes() -> None:
    assert all(isinstance(route, Route) for route in ROUTES)
    assert len(OF_A_JOB) == 7
    assert set(OF_OPERATORS) <= set(CALLS)


def without_instance(response: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in response.json().items() if name != "instance"}


@pytest.mark.parametrize("state", ["submitted", "queued", "succeeded"])
@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
def test_another_tenants_job_is_no_job(
    caller_of: CallerFactory, views: Views, method: str, path: str, state: str
) -> None:
    owner, stranger = caller_of(), caller_of(scope="operator")
    job = job_of("main", uuid.uuid4().hex)
    if state == "submitted":
        job = owner.submit().json()["job"]
    elif state == "queued":
        views.main.write(views.main.accepted(job, owner.tenant))
    else:
        views.main.run(job, owner.tenant)
    views.show()
    assert owner.http.get(f"/v1/jobs/{job}").status_code == 200
    theirs = stranger.http.request(method, path.replace("{job}", job))
    absent = stranger.http.request(method, path.replace("{job}", job_of("main", uuid.uuid4().hex)))
    assert theirs.status_code == absent.status_code == 404
    assert without_instance(theirs) == without_instance(absent)
    assert job not in stranger.http.get("/v1/jobs").text
    assert stranger.http.get("/v1/jobs/counts").json()["counts"] == []


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
@pytest.mark.parametrize("name", ["x", "main-123", "%00", "main-" + "A" * 32, "..%2f..", "x" * 3_000])
def test_what_is_no_job_id_is_no_job(caller: Caller, method: str, path: str, name: str) -> None:
    assert caller.http.request(method, path.replace("{job}", name)).status_code == 404


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call[1].startswith("/v1/")])
@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "missing-key"),
        ("Basic aHI6eA==", "missing-key"),
        ("Bearer", "missing-key"),
        ("Bearer sk_other", "unknown-key"),
        ("Bearer hr_unknown", "unknown-key"),
        ("Bearer hr_" + "x" * 500, "unknown-key"),
    ],
)
def test_every_route_asks_for_a_key_first(
    base_url: str, method: str, path: str, authorization: str | None, code: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = httpx.request(method, base_url + path, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["type"] == f"urn:headrace:problem:{code}"


@pytest.mark.parametrize(("method", "path"), OF_OPERATORS)
def test_operators_routes_are_closed_to_users(caller: Caller, method: str, path: str) -> None:
    response = caller.http.request(method, path)
    assert response.status_code == 403
    assert response.json()["type"] == "urn:headrace:problem:operators-only"


def test_a_revoked_key_is_unknown(engine: Engine, base_url: str, caller: Caller) -> None:
    (listed,) = keys.listed(engine, caller.tenant)
    keys.revoke(engine, listed.key.id)
    assert caller.http.get("/v1/jobs").status_code == 401
