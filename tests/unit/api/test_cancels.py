"""A cancel that is repeated writes no further input, and each stays in the ledger for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import api.jobs
from api.cancels import Cancels
from runtime.kafka import DeliveryUnclear
from tests.unit.api.served import ServedApi
from tests.unit.audit.ledger import job_of
from tests.waiting import until_async, within
from views.rows import JobRow

JOB = job_of(1)
PATH = f"/v1/jobs/{JOB}/cancel"


class Broker:
    """What was written, and whether the broker acknowledges."""

    def __init__(self) -> None:
        self.written = 0
        self.acknowledges = True

    async def write(self, *_: Any) -> None:
        self.written += 1
        await asyncio.sleep(0)
        if not self.acknowledges:
            raise DeliveryUnclear


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(api.jobs, "_write_cancel", broker.write)
    return broker


def served(state: str) -> ServedApi:
    row = JobRow(JOB, "main", "acme", "free", "echo", "v", state, 0)
    return ServedApi(reads={"job": lambda tenant, name: row if tenant == "acme" else None})


def test_a_cancel_that_the_broker_has_is_written_once(broker: Broker) -> None:
    api = served("queued")
    assert [api.request("POST", PATH).status_code for _ in range(5)] == [202] * 5
    assert broker.written == 1


def test_a_job_that_is_cancelling_is_told_nothing_again(broker: Broker) -> None:
    assert served("cancelling").request("POST", PATH).json() == {"job": JOB, "state": "cancelling"}
    assert broker.written == 0


def test_a_cancel_that_nobody_acknowledged_is_written_again(broker: Broker) -> None:
    api, broker.acknowledges = served("queued"), False
    assert api.request("POST", PATH).status_code == 503
    broker.acknowledges = True
    assert api.request("POST", PATH).status_code == 202
    assert broker.written == 2


def test_a_hundred_cancels_at_once_are_one() -> None:
    async def work() -> None:
        cancels, written, may_end = Cancels(), [0], asyncio.Event()

        async def write() -> None:
            written[0] += 1
            await may_end.wait()

        asked = [asyncio.create_task(cancels.once(JOB, write)) for _ in range(100)]
        await until_async(lambda: written[0] > 0)
        may_end.set()
        await asyncio.gather(*asked)
        assert written[0] == 1

    asyncio.run(within(60, work()))
