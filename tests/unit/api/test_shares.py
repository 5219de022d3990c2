"""Nobody takes everybody's share: each caller's threads, requests, streams and wrong keys are bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from api import failed_keys, hub, key_checks, resources
from api.failed_keys import FailedKeys
from api.hub import Hub
from api.key_checks import KeyChecks
from api.problems import Problem
from api.shares import ASKER, CallerShares, Together
from api.threads import AnsweringThreads
from registry import keys
from registry.keys import Key
from runtime.postgres import DatabaseSilent
from tests.unit.api.served import ServedApi
from tests.waiting import until_async, within


def live(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(within(60, work))


def test_one_caller_leaves_threads_to_the_others() -> None:
    async def work() -> None:
        threads, free = AnsweringThreads(3, each_max=2), threading.Event()
        greedy = [asyncio.create_task(threads.run(lambda: free.wait(5), None, "greedy")) for _ in range(20)]
        await until_async(lambda: threads.waiting == 18, "two are at work")
        assert await threads.run(lambda: 7, 60, "other") == 7
        assert await threads.run(lambda: 8, 60) == 8
        with pytest.raises(DatabaseSilent):
            await threads.run(lambda: 9, 0.001, "greedy")
        free.set()
        assert await asyncio.gather(*greedy) == [True] * 20
        await until_async(lambda: not threads._turns, "who has nothing is forgotten")
        threads.close()

    live(work())


def test_a_call_that_is_given_up_while_it_waits_gives_its_turn_back() -> None:
    async def work() -> None:
        threads, free = AnsweringThreads(1, each_max=1), threading.Event()
        first = asyncio.create_task(threads.run(lambda: free.wait(5), None, "a"))
        await until_async(lambda: threads.is_full)
        for who in ("a", "b", "b"):
            with pytest.raises(DatabaseSilent):
                await threads.run(lambda: 1, 0.001, who)
        assert set(threads._turns) == {"a"}
        free.set()
        await first
        assert await threads.run(lambda: 2, 60, "b") == 2
        await until_async(lambda: not threads._turns, "who has nothing is forgotten")
        threads.close()

    live(work())


def test_a_store_that_never_ends_its_answer_keeps_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PATIENCE_S", 0.001)

    async def work() -> None:
        process, ended = object.__new__(resources.Resources), threading.Event()
        process._store = AnsweringThreads(1, busy=resources._store_slow)
        with pytest.raises(Problem) as refused:
            await process.in_store(ended.wait, 5)
        assert (refused.value.status, refused.value.code) == (503, "store-unavailable")
        ended.set()
        process._store.close()

    live(work())


def test_a_share_is_of_one_caller_and_is_given_back() -> None:
    share = CallerShares(2)
    assert [share.take("a") for _ in range(3)] == [True, True, False]
    assert share.take("b")
    share.give_back("a")
    assert share.take("a")
    for who in ("a", "a", "b"):
        share.give_back(who)
    assert not share._taken


def test_calls_of_one_name_are_one_call_and_one_outcome() -> None:
    async def work() -> None:
        together, begun, may_end = Together[int](), [0], asyncio.Event()

        async def call() -> int:
            begun[0] += 1
            await may_end.wait()
            return begun[0]

        asked = [asyncio.create_task(together.run("x", call)) for _ in range(5)]
        await until_async(lambda: begun[0] == 1)
        asked[0].cancel()
        may_end.set()
        assert await asyncio.gather(*asked[1:]) == [1] * 4
        assert await together.run("x", call) == 2

    live(work())


def test_an_address_that_sends_wrong_keys_has_to_wait_and_is_forgiven() -> None:
    now_s = 0.0
    failures = FailedKeys(lambda: now_s)
    for _ in range(failed_keys.AT_ONCE_MAX):
        assert failures.wait_s("a") == 0
        failures.failed("a")
    assert failures.wait_s("a") == 1
    assert failures.wait_s("b") == 0
    now_s = 1.0
    assert failures.wait_s("a") == 0
    for number in range(failed_keys.ADDRESSES_MAX + 10):
        failures.failed(f"address {number}")
    assert len(failures._levels) == failed_keys.ADDRESSES_MAX


class Database:
    """Knows one key, until that is revoked."""

    def __init__(self) -> None:
        self.asked = 0
        self.key, self.secret = Key("id", "acme", ("free",), "user"), keys.draw()[1]
        self.is_away = self.is_revoked = False
        self.checks = KeyChecks(SimpleNamespace(kept=lambda secret: None), self._look)

    async def _look(self, secret: str, who: str) -> Key | None:
        self.asked += 1
        if self.is_away:
            raise DatabaseSilent
        return self.key if secret == self.secret and not self.is_revoked else None


def test_ten_thousand_wrong_keys_cost_a_few_questions_and_keep_no_right_key_out() -> None:
    async def work() -> None:
        database = Database()
        refused: list[Problem] = []
        assert await database.checks.key_of(database.secret, "gateway") == database.key
        for number in range(10_000):
            try:
                assert await database.checks.key_of(f"wrong {number}", "gateway") is None
            except Problem as problem:
                refused.append(problem)
        assert database.asked <= 1 + failed_keys.AT_ONCE_MAX + 60
        assert len(refused) == 10_000 - (database.asked - 1)
        assert {(problem.status, problem.headers["Retry-After"]) for problem in refused} == {(429, "1")}
        assert await database.checks.key_of(database.secret, "gateway") == database.key

    live(work())


def test_many_requests_with_one_key_ask_once() -> None:
    async def work() -> None:
        database = Database()
        found = await asyncio.gather(*[database.checks.key_of(database.secret, "a") for _ in range(500)])
        assert found == [database.key] * 500
        assert database.asked == 1

    live(work())


def test_a_flood_of_new_keys_from_one_address_leaves_room_for_those_of_others() -> None:
    async def work() -> None:
        looked: list[str] = []
        may_answer = asyncio.Event()

        async def look(secret: str, who: str) -> Key | None:
            looked.append(who)
            await may_answer.wait()
            return None

        checks = KeyChecks(SimpleNamespace(kept=lambda secret: None), look)
        flood = [asyncio.create_task(checks.key_of(f"wrong {number}", "a")) for number in range(1_000)]
        await until_async(lambda: sum(task.done() for task in flood) == 1_000 - key_checks.LOOKS_EACH_MAX)
        other = asyncio.create_task(checks.key_of("another", "b"))
        await until_async(lambda: "b" in looked)
        may_answer.set()
        assert await other is None
        found = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(isinstance(each, Problem) for each in found) == 1_000 - looked.count("a")
        assert not checks._looks._taken

    live(work())


def test_a_key_is_in_force_until_somebody_says_otherwise() -> None:
    async def work() -> None:
        database = Database()
        assert await database.checks.is_in_force(database.secret)
        database.is_revoked = True
        assert not await database.checks.is_in_force(database.secret)
        database.is_away = True
        assert await database.checks.is_in_force(database.secret)

    live(work())


def test_a_tenant_has_so_many_requests_at_once_and_the_next_one_is_told_to_wait() -> None:
    api = ServedApi(reads={"job_counts": lambda tenant: []})
    api.resources.requests = CallerShares(1)
    for _ in range(3):
        assert api.request("GET", "/v1/jobs/counts").status_code == 200, "the share is given back with the answer"
    assert not api.resources.requests._taken
    api.resources.requests.take("acme")
    refused = api.request("GET", "/v1/jobs/counts")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.json()["type"] == "urn:headrace:problem:too-many-requests"
    assert api.request("GET", "/v1/jobs/counts", tenant="other").status_code == 200
    assert api.request("GET", "/v1/jobs/x", tenant="other").status_code == 404
    assert api.resources.requests._taken == {"acme": 1}, "a refused request gives nothing back"


def test_questions_are_asked_in_the_name_of_the_tenant() -> None:
    asked: list[str] = []

    def job_counts(tenant: str) -> list[Any]:
        asked.append(ASKER.get())
        return []

    ServedApi(reads={"job_counts": job_counts}).request("GET", "/v1/jobs/counts")
    assert asked == ["acme"]


def test_streams_of_one_tenant_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "STREAMS_EACH_MAX", 2)

    async def work() -> None:
        streams = Hub()
        first = streams.subscribe("acme", "main-1", (-1, -1))
        assert not streams.is_full_for("acme")
        streams.subscribe("acme", "main-2", (-1, -1))
        assert streams.is_full_for("acme")
        assert not streams.is_full_for("other")
        streams.unsubscribe(first)
        assert not streams.is_full_for("acme")

    live(work())


def test_a_key_that_was_copied_wrongly_asks_no_database() -> None:
    api = ServedApi()
    _, secret = keys.draw()
    wrong = {"Authorization": f"Bearer {secret[:-1]}{'0' if secret[-1] != '0' else '1'}"}
    for _ in range(100):
        assert api.request("GET", "/v1/jobs/counts", headers=wrong).status_code == 401
    assert api.looked == []
    assert api.request("GET", "/v1/jobs/counts", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    assert api.looked == [secret]


def test_the_numbers_of_the_process_are_not_on_the_port_of_its_callers() -> None:
    hidden, shown = ServedApi(), ServedApi(metrics_public=True)
    assert hidden.request("GET", "/metrics").status_code == 404
    assert "/metrics" not in hidden.request("GET", "/openapi.json").json()["paths"]
    assert "headrace_api_streams" in shown.request("GET", "/metrics").text
    assert "/metrics" in shown.request("GET", "/openapi.json").json()["paths"]
