"""A submission of a withdrawn version is refused before anything is written, unless its key made a job before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import Engine

from api.catalog import Catalog
from contract.policy import Cluster, Policy, Pool, Tier
from registry import audiences, models
from registry.models import RegisteredVersion
from tests.unit.api.served import ServedApi
from tests.unit.api.versions import version
from views.receipts import ReceiptState

POLICY = Policy({"free": Tier(60_000)}, {"main": Pool(0)}, {"east": Cluster("main", 4)})
BAD, GOOD = "sha256:" + "b" * 64, "sha256:" + "c" * 64
WITHDRAWN = msgspec.structs.replace(version({}, BAD), withdrawn=True)


class Door:
    """The API as far as a submission goes before it is written; `known` job ids are of keys that came before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: Sequence[RegisteredVersion]) -> None:
        self.known = False
        self.reserved: list[str] = []
        monkeypatch.setattr(models, "resolve", lambda engine, reference: WITHDRAWN)
        monkeypatch.setattr(models, "versions", lambda engine, model: (WITHDRAWN, *others))
        monkeypatch.setattr(audiences, "of", lambda engine, model: audiences.EVERYBODY)
        reads = {"is_known": lambda job: self.known, "job": lambda tenant, job: None}
        self.api = ServedApi(reads=reads)
        policies = SimpleNamespace(for_writing=self._policy, payload_bytes_max=self._bytes_max)
        vars(self.api._application._starlette.state.resources).update(
            catalog=Catalog(cast("Engine", None), asyncio.to_thread),
            policies=policies,
            write=self._write,
            writes=SimpleNamespace(is_away=False),
            metrics=SimpleNamespace(submission=lambda outcome: None),
        )

    async def _policy(self, pool: str) -> Policy:
        return POLICY

    async def _bytes_max(self) -> int:
        return 1_000

    async def _write(self, change: Callable[..., Any], job: str, *given: Any) -> ReceiptState:
        self.reserved.append(job)
        return ReceiptState.ACKNOWLEDGED

    def submit(self, model: str, key: str = "") -> tuple[int, dict[str, Any]]:
        headers = {"Idempotency-Key": key} if key else {}
        response = self.api.request("POST", "/v1/jobs", json={"model": model, "inputs": {}}, headers=headers)
        return response.status_code, response.json()


@pytest.mark.parametrize("key", ["", "mine"])
@pytest.mark.parametrize(("model", "says"), [("echo@live", f"{BAD}, to which echo@live points"), (f"echo@{BAD}", BAD)])
def test_it_is_refused_with_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, model: str, says: str, key: str
) -> None:
    door = Door(monkeypatch, [version({}, GOOD)])
    status, body = door.submit(model, key)
    assert (status, body["type"]) == (409, "urn:headrace:problem:version-withdrawn")
    assert body["detail"] == (
        f"model: expected a version that may run, found {says}: it was withdrawn for ever; name another version, or ask"
        " whoever publishes echo to promote one"
    )
    assert (body["version"], body["known"]) == (BAD, [f"echo@{GOOD}"])
    assert door.reserved == []  # the same key may be used once the alias has moved


def test_a_model_without_another_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "it has no other version: ask" in Door(monkeypatch, []).submit("echo")[1]["detail"]


def test_a_key_that_came_before_is_answered_with_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, [])
    door.known = True
    status, body = door.submit("echo", "mine")
    assert (status, [body["job"]]) == (200, door.reserved)
    assert door.submit("echo")[0] == 409
