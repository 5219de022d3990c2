"""A model that a caller may not see is one that is not there, on every path; what ran before stays his."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from contract.names import job_id_of_key
from registry import audiences, publishing
from registry.audiences import Kind
from runtime.object_store import ObjectStore
from tests.integration.api.conftest import Caller, CallerFactory
from tests.unit.registry.samples import MODEL_YAML, write_model
from tests.waiting import until

Say = Callable[[Kind, str, bool], None]


@pytest.fixture
def shut(
    engine: Engine, store: ObjectStore, published: dict[str, str], tmp_path: Path
) -> Iterator[tuple[str, str, Say]]:
    """A model that nobody may see, its version, and what says who may. Other tests here see it before and after as
    little as anybody."""
    name = "shut" + uuid.uuid4().hex[:8]
    directory = write_model(tmp_path / name, yaml=MODEL_YAML.replace("name: echo", f"name: {name}"))
    digest = publishing.publish(directory, engine=engine, store=store, who="tests", pool="main").version.digest

    def say(kind: Kind, whom: str, allowed: bool) -> None:
        audiences.change(engine, name, kind, whom, allowed=allowed, who="tests", why="")

    say("all", "", False)
    publishing.publish(directory, engine=engine, store=store, who="tests", pool="main", alias="live")
    with engine.begin() as connection:
        connection.execute(text("UPDATE registry.outbox SET published_at = now() WHERE model = :m"), {"m": name})
    yield name, digest, say
    with engine.connect() as connection:
        for change in audiences.history(connection, name):
            if change.kind != "all":
                say(change.kind, change.name, False)


def without_names(response: httpx.Response, model: str) -> tuple[int, Any]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body = {name: value for name, value in response.json().items() if name != "instance"}
    return response.status_code, str(body).replace(model, "MODEL")


def answers(caller: Caller, model: str, digest: str) -> list[tuple[int, Any]]:
    found = [without_names(caller.http.get(f"/v1/models/{model}"), model)]
    for at in ("", "@live", "@nope", f"@{digest}", "@sha256:" + "0" * 64):
        for fields in ({}, {"inputs": {"prompt": 7}}, {"tier": "nope"}, {"expires_in_s": -1}):
            for key in ("", "mine"):
                response = caller.submit(key=key, **({"model": model + at} | fields))
                found.append(without_names(response, model))
    return found


def test_it_is_answered_as_one_that_is_not_there(caller: Caller, shut: tuple[str, str, Say]) -> None:
    name, digest, _ = shut
    absent = "gone" + uuid.uuid4().hex[:8]
    assert answers(caller, name, digest) == answers(caller, absent, digest)
    assert {status for status, _ in answers(caller, name, digest)} == {404}
    assert name not in caller.http.get("/v1/models").text
    assert name not in caller.submit(model="none").text


def test_a_tenant_who_may_sees_it_and_runs_it_and_an_operator_sees_all(
    caller_of: CallerFactory, shut: tuple[str, str, Say]
) -> None:
    name, digest, say = shut
    caller, other, operator = caller_of(), caller_of(), caller_of(scope="operator")
    say("tenant", caller.tenant, True)
    until(lambda: caller.submit(model=name).status_code == 202, "the API knows of the change")
    assert caller.submit(model=f"{name}@{digest}").status_code == 202
    for sees, status in ((caller, 200), (operator, 200), (other, 404)):
        assert sees.http.get(f"/v1/models/{name}").status_code == status
        assert (name in sees.http.get("/v1/models").text) == (status == 200)
    assert operator.submit(model=name).status_code == 202


def test_a_tier_that_may_runs_it_and_the_others_of_the_same_key_do_not(
    caller_of: CallerFactory, shut: tuple[str, str, Say]
) -> None:
    name, _, say = shut
    both, free = caller_of(tiers=("free", "api")), caller_of(tiers=("free",))
    say("tier", "api", True)
    until(lambda: both.submit(model=name, tier="api").status_code == 202, "the API knows of the change")
    for refused in (both.submit(model=name), both.submit(model=name, tier="free"), free.submit(model=name)):
        assert refused.status_code == 404
        assert name not in refused.json()["known"]
    assert free.submit(model=name, tier="api").status_code == 404, "a tier that the key may not use shows nothing"
    assert [one.http.get(f"/v1/models/{name}").status_code for one in (both, free)] == [200, 404]


def test_what_was_let_in_before_it_was_shut_is_found_again(
    caller: Caller, shut: tuple[str, str, Say], engine: Engine
) -> None:
    name, _, say = shut
    say("tenant", caller.tenant, True)
    key = uuid.uuid4().hex
    until(lambda: caller.submit(model=name, key=key).status_code in (200, 202), "the API knows of the change")
    other = caller.submit(key="other").json()["job"]
    say("tenant", caller.tenant, False)
    until(lambda: caller.submit(model=name).status_code == 404, "the API knows of the change")
    job = job_id_of_key("main", caller.tenant, key)
    again = caller.submit(model=name, key=key)
    assert (again.status_code, again.json()["job"]) == (200, job)
    assert caller.http.get(f"/v1/jobs/{job}").status_code == 200
    with caller.http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.status_code == 200
    assert caller.http.post(f"/v1/jobs/{job}/cancel").status_code == 202
    assert job in caller.http.get("/v1/jobs", params={"model": name}).text
    for refused in (
        caller.submit("another prompt", model=name, key=key),
        caller.submit(model=name, key=key, tier="free"),
        caller.submit(model=name, key="other"),
        caller.submit(model=name, key="new"),
    ):
        assert refused.status_code == 404, "a key of another request tells nothing of the model"
    assert other != job
