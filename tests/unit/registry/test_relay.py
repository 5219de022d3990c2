"""The relay while the broker takes nothing of one pool: the other pools are told all the same, and in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from contract.codec import decode_input
from contract.inputs import AliasMoved
from contract.signing import RecordSigner
from registry import relay
from registry.relay import Relay
from runtime.kafka import Delivery, DeliveryUnclear


class Outbox:
    """As much of the database as one relay uses: rows of pools, each with its partition of `jobs`."""

    def __init__(self, *partitions: int) -> None:
        self.left = {
            number: SimpleNamespace(
                id=number,
                event_id=f"e{number}",
                model="m",
                version="v",
                alias="live",
                move=number,
                moved_by="Carol Smith",
                partition=partition,
                waiting=len(partitions),
            )
            for number, partition in enumerate(partitions)
        }

    @contextmanager
    def begin(self) -> Iterator[Outbox]:
        before = dict(self.left)
        try:
            yield self
        except BaseException:
            self.left = before
            raise

    def execute(self, statement: Any, values: dict[str, Any]) -> Any:
        if statement is relay._LOCK:
            return SimpleNamespace(scalar_one=lambda: True)
        if statement is relay._MARK:
            return self.left.pop(values["id"])
        rows = [row for _, row in sorted(self.left.items()) if row.partition not in values["resting"]]
        return SimpleNamespace(one_or_none=lambda: rows[0] if rows else None)


class Broker:
    """Takes what is written to it, except in partitions that have no leader."""

    def __init__(self) -> None:
        self.leaderless: set[int] = set()
        self.taken: list[tuple[int, bytes]] = []

    def send_and_wait(self, topic: str, value: bytes, *, partition: int, **more: Any) -> Delivery:
        if partition in self.leaderless:
            raise DeliveryUnclear("_MSG_TIMED_OUT")
        self.taken.append((partition, value))
        return Delivery(partition, len(self.taken), 1)


def test_a_pool_whose_partition_has_no_leader_holds_up_its_own_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox, broker = Outbox(0, 1, 0, 1), Broker()
    engine: Any = outbox
    producer: Any = broker
    works = Relay(engine, producer, RecordSigner(None))
    clock = [100.0]
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    broker.leaderless = {0}
    assert [works._carry_or_rest() for _ in range(4)] == [True, True, True, False]
    assert [partition for partition, _ in broker.taken] == [1, 1]
    assert list(outbox.left) == [0, 2], "what was not taken is not marked"
    clock[0] += 60
    assert [works._carry_or_rest(), works._carry_or_rest()] == [True, False], "it is tried again after a rest"
    broker.leaderless = set()
    clock[0] += 60
    assert [works._carry_or_rest() for _ in range(3)] == [True, True, False]
    assert [partition for partition, _ in broker.taken] == [1, 1, 0, 0]
    told = [decode_input(value) for _, value in broker.taken]
    assert told == [AliasMoved("m", "live", "v", number, "Carol_Smith") for number in (1, 3, 0, 2)]
