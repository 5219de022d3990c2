"""A fold that waits for a record which the ledger does not hold ends its host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.kafka import OffsetGone
from streams.ledger import fold_watch
from streams.ledger.fold_watch import FoldWatch
from streams.ledger.host_guard import HostEnded, HostGuard
from streams.ledger.outputs import PoolRest
from streams.ledger.phases import WriterPhase
from tests.unit.streams.memory_pool import run
from tests.waiting import until_async


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_watch, "LOOK_EVERY_S", 0.001)


class Broker:
    """Answers whether the ledger holds a record from an offset on: what it is told to answer or to raise."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.asked = 0

    async def has_ledger(self, start: int, end: int) -> bool:
        assert (start, end) == (3, 9)
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def watched(broker: Any, ended: list[HostEnded]) -> Any:
    """The writer of a pool that waits for offset 3 of a ledger that ended at 9."""
    guard, writer = HostGuard(ended.append), SimpleNamespace(phase=WriterPhase.OPENING, next_offset=3)
    made: Any = writer
    FoldWatch(broker, guard, made, 9)
    return writer


@pytest.mark.parametrize("answer", [False, OffsetGone("expected ledger/0 to hold 3 to 9, found 0 to 3")])
def test_a_record_that_is_not_there_ends_the_host(answer: bool | Exception) -> None:
    async def live() -> None:
        ended: list[HostEnded] = []
        watched(Broker(answer), ended)
        await until_async(lambda: ended, "the host has ended")
        assert ended[0].rest is PoolRest.LONG
        assert ended[0].reason.startswith("expected the ledger to hold a record from offset 3 on, before its end 9")

    run(live)


@pytest.mark.parametrize("answer", [True, KafkaException(KafkaError(KafkaError._TRANSPORT))])
def test_a_slow_fold_and_a_broker_that_is_away_end_nothing(answer: bool | Exception) -> None:
    async def live() -> None:
        ended: list[HostEnded] = []
        broker = Broker(answer)
        writer = watched(broker, ended)
        await until_async(lambda: broker.asked > 3, "it was asked again and again")
        writer.phase = WriterPhase.LEADING
        assert ended == []

    run(live)
