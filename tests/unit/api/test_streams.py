"""A stream looks at its key again, as long as it lasts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from api import events, hub
from api.hub import Hub
from tests.unit.api.served import ServedApi
from tests.unit.audit.ledger import job_of
from tests.waiting import until_async, within
from views.rows import JobEventRow, JobRow


class Keys:
    def __init__(self) -> None:
        self.looked: list[str] = []
        self.are_in_force = True

    async def is_in_force(self, secret: str) -> bool:
        self.looked.append(secret)
        return self.are_in_force


class Streamed:
    """The stream of one job, with keys that a test revokes."""

    def __init__(self) -> None:
        self.keys, self.hub = Keys(), Hub()
        resources: Any = SimpleNamespace(keys=self.keys)
        self.stream = events._stream(resources, "hr_mine", "key_mine", self.hub.subscribe("acme", "j", (-1, -1)))

    async def next(self) -> str:
        return (await anext(self.stream)).encode().decode()


def event(seq: int) -> JobEventRow:
    return JobEventRow("j", seq, 0, "main", 1, "JobAccepted", "queued", 0, "accepted")


def test_a_stream_whose_key_was_revoked_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.001)

    async def live() -> None:
        streamed = Streamed()
        assert "retry" in await streamed.next()
        following = asyncio.create_task(streamed.next())
        await until_async(lambda: bool(streamed.keys.looked), "the stream has looked at its key")
        assert not following.done(), "a key in force is shown what comes"
        streamed.hub.give_events([event(1)])
        assert "state" in await following
        streamed.keys.are_in_force = False
        with pytest.raises(StopAsyncIteration):
            await streamed.next()
        assert set(streamed.keys.looked) == {"hr_mine"}

    asyncio.run(within(60, live()))


def test_a_stream_that_always_has_news_looks_at_its_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.0)

    async def live() -> None:
        streamed = Streamed()
        await streamed.next()
        streamed.keys.are_in_force = False
        streamed.hub.give_events([event(1)])
        with pytest.raises(StopAsyncIteration):
            await streamed.next()

    asyncio.run(within(60, live()))


def test_of_many_streams_asked_for_at_one_moment_so_many_begin_as_one_tenant_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "STREAMS_EACH_MAX", 2)
    row = JobRow(job_of(1), "main", "acme", "free", "echo", "v", "queued", 0)
    api = ServedApi(reads={"job": lambda tenant, name: row})
    api.resources.hub.close()  # each stream ends once it has begun
    answers = api.requests(5, "GET", f"/v1/jobs/{row.job}/events")
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    assert api.resources.hub.count == 0, "a place is given back when its request has ended"
