"""Many requests at the end of a TTL: the database is asked once, for versions, policies and keys alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from sqlalchemy import Engine

from api.catalog import Catalog
from api.policies import Policies
from contract.policy import Policy, Pool
from registry import keys, models
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
    catalog = Catalog(ENGINE, asyncio.to_thread)
    return database, lambda: catalog.resolve("echo")


def policies(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    policy = Policy({}, {"main": Pool(0)}, {})
    database = Database([PolicyView("main", "sha256:1", 1, policy)])
    monkeypatch.setattr(queries, "policies", database)
    found = Policies(ENGINE, asyncio.to_thread)
    return database, lambda: found.of("main")


def secrets(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    database = Database(KEY)
    monkeypatch.setattr(keys, "_resolve", database)
    keyring = Keyring(ENGINE, ttl_s=60)

    async def ask() -> object:
        return keyring.kept("hr_1") or await asyncio.to_thread(keyring.resolve, "hr_1")

    return database, ask


def pools(monkeypatch: pytest.MonkeyPatch) -> tuple[Database, Ask]:
    database = Database("main")
    monkeypatch.setattr(models, "_pool_of", database)
    engine = cast("Engine", Connections())
    return database, lambda: asyncio.to_thread(models.lookup, engine, "echo")


@pytest.mark.parametrize("made", [versions, policies, secrets, pools])
def test_requests_that_come_together_ask_the_database_once(
    made: Callable[[pytest.MonkeyPatch], tuple[Database, Ask]], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, ask = made(monkeypatch)

    async def requests() -> list[object]:
        together = [asyncio.create_task(ask()) for _ in range(REQUESTS)]
        await asyncio.to_thread(until, lambda: database.asked > 0, "the database is asked")
        database.may_answer.set()
        return [*await asyncio.gather(*together), await ask()]

    found = asyncio.run(requests())
    assert len(found) == REQUESTS + 1
    assert all(each == found[0] for each in found)
    assert database.asked == 1
