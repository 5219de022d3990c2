"""Many requests at the end of a TTL: the database is asked once, for versions, policies and keys alike."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from sqlalchemy import Engine

import api.catalog
import api.policies
from api.catalog import Catalog
from api.policies import Policies
from api.resources import KEY_TTL_S
from contract.policy import Policy, Pool
from registry import audiences, keys, models
from registry.audiences import Viewer
from registry.keys import Key, Keyring
from tests.unit.api.versions import version
from tests.waiting import until
from views import queries
from views.queries import PolicyView

REQUESTS = 8
KEY = Key("key_1", "acme", ("free",), "user")


class Connections:
    """An engine whose connections are never used."""

    def connect(self) -> Connections:
        return self

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Database:
    """Counts how often it is asked. Answers once the test allows it."""

    def __init__(self, answer: object) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self._answer = answer

    def __call__(self, *_: object) -> Any:
        self.asked += 1
        assert self.may_answer.wait(10)
        return self._answer


ENGINE = cast("Engine", Connections())
Ask = Callable[[], Coroutine[Any, Any, object]]


def versions(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    database = Database(version({}))
    monkeypatch.setattr(models, "resolve", database)
    monkeypatch.setattr(audiences, "of", lambda engine, model: audiences.EVERYBODY)
    catalog = Catalog(ENGINE, asyncio.to_thread)
    return database, lambda: catalog.resolve("echo", Viewer("acme", ("free",)))


def audiences_of_models(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    database = Database(audiences.EVERYBODY)
    monkeypatch.setattr(models, "resolve", lambda engine, reference: version({}))
    monkeypatch.setattr(audiences, "of", database)
    catalog = Catalog(ENGINE, asyncio.to_thread)
    return database, lambda: catalog.resolve("echo", Viewer("acme", ("free",)))


def policies(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    policy = Policy({}, {"main": Pool(0)}, {})
    database = Database([PolicyView("main", "sha256:1", 1, policy)])
    monkeypatch.setattr(queries, "policies", database)
    monkeypatch.setattr(queries, "pools_that_want_signatures", lambda _: frozenset())
    found = Policies(ENGINE, asyncio.to_thread, signs=True)
    return database, lambda: found.of("main")


def secrets(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    database = Database(KEY)
    monkeypatch.setattr(keys, "_resolve", database)
    keyring = Keyring(ENGINE, KEY_TTL_S)

    async def ask() -> object:
        return keyring.kept("hr_1") or await asyncio.to_thread(keyring.resolve, "hr_1")

    return database, ask


def pools(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    database = Database("main")
    monkeypatch.setattr(models, "_pool_of", database)
    engine = cast("Engine", Connections())
    return database, lambda: asyncio.to_thread(models.lookup, engine, "echo")


@pytest.mark.parametrize(
    ("made", "ttl_s"),
    [
        (versions, api.catalog.TTL_S),
        (audiences_of_models, api.catalog.TTL_S),
        (policies, api.policies.TTL_S),
        (secrets, KEY_TTL_S),
        (pools, math.inf),
    ],
)
def test_a_stampede_at_the_end_of_a_ttl_asks_the_database_once(
    made: Callable[[pytest.MonkeyPatch], tuple[Database, Ask]], ttl_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("registry.answers.monotonic", lambda: now_s)
    database, ask = made(monkeypatch)

    async def stampede(asked: int) -> None:
        database.may_answer.clear()
        together = [asyncio.create_task(ask()) for _ in range(REQUESTS)]
        await asyncio.to_thread(until, lambda: database.asked == asked, "the database is asked")
        database.may_answer.set()
        found = [*await asyncio.gather(*together), await ask()]
        assert all(each == found[0] for each in found)
        assert database.asked == asked

    asyncio.run(stampede(1))
    now_s = 0.99 * min(ttl_s, 1_000)
    asyncio.run(stampede(1))
    now_s = min(ttl_s, 1_000)
    asyncio.run(stampede(2 if ttl_s < math.inf else 1))
