"""A pool's ledger comes in order, in slices between which others have their turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from contract.bounds import MESSAGE_BYTES_MAX
from contract.topics import LEDGER, Topic
from runtime.kafka import Record
from runtime.kafka_credentials import Brokers
from streams.ledger import tail
from tests.twin.kafka import TwinKafka
from tests.unit.streams.memory_pool import run
from tests.waiting import until_async


class Ledger:
    """As runtime.kafka.Reader: chunks, then nothing, or a failure."""

    def __init__(self, chunks: list[int], failure: Exception | None = None, value: bytes = b"") -> None:
        self._chunks, self._failure, self._next, self._value = list(chunks), failure, 0, value
        self.given = 0
        self.closed = threading.Event()

    def read(self, timeout_s: float, _records_max: int, _bytes_max: int) -> list[Record]:
        if not self._chunks:
            if self._failure is not None:
                raise self._failure
            self.closed.wait(0.001)
            return []
        self.given += 1
        first, self._next = self._next, self._next + self._chunks.pop(0)
        return [Record("ledger", 0, offset, 0, None, self._value, []) for offset in range(first, self._next)]

    def close(self) -> None:
        self.closed.set()


def read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, on_records: Any, on_failure: Any = None) -> tail.LedgerTail:
    monkeypatch.setattr(tail, "Reader", lambda *_, **__: ledger)
    return tail.LedgerTail(Brokers(""), 0, 0, on_records=on_records, on_failure=on_failure)


def test_records_come_in_order_and_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        seen: list[int] = []
        turns: list[int] = []
        loop = asyncio.get_running_loop()

        def turn() -> None:
            turns.append(len(seen))
            if len(seen) < 1_203:
                loop.call_soon(turn)

        turn()
        following = read(
            Ledger([500, 1, 700, 2]), monkeypatch, lambda records: seen.extend(one.offset for one in records)
        )
        await until_async(lambda: len(seen) == 1_203, "all is read")
        assert seen == list(range(1_203))
        assert max(later - before for before, later in pairwise(turns)) <= 2 * tail.SLICE_RECORDS
        following.close()

    run(live)


def test_what_is_read_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        ledger, seen = Ledger([100] * 20), [0]
        ahead: list[int] = []

        def fold(records: list[Record]) -> None:
            ahead.append(ledger.given - seen[0] // 100)
            seen[0] += len(records)

        following = read(ledger, monkeypatch, fold)
        await until_async(lambda: seen[0] == 2_000, "all is read")
        assert max(ahead) <= tail.CHUNKS_AHEAD + 2
        following.close()
        await until_async(ledger.closed.is_set, "the reader is closed")

    run(live)


def test_after_a_close_nothing_comes_and_a_failure_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        failures: list[Exception] = []
        read(Ledger([], ConnectionError("gone")), monkeypatch, lambda _: None, failures.append)
        await until_async(lambda: failures, "the failure is told")
        seen: list[Record] = []
        following = read(Ledger([500]), monkeypatch, seen.extend)
        await until_async(lambda: seen, "the first slice")
        following.close()
        so_far = len(seen)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (len(seen), len(failures)) == (so_far, 1)

    run(live)


def test_large_records_are_few_at_a_time_between_the_turns_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of 100 KiB take long each, and 20 of them would hold up every other pool of the process."""

    async def live() -> None:
        sizes: list[int] = []
        following = read(Ledger([40], value=bytes(100 * 1024)), monkeypatch, lambda records: sizes.append(len(records)))
        await until_async(lambda: sum(sizes) == 40, "all is read")
        assert max(sizes) * 100 * 1024 < 2 * tail.SLICE_BYTES
        following.close()

    run(live)


def test_what_a_fold_reads_ahead_is_bounded_in_bytes() -> None:
    """Review 5.8: 2,500 records of 512 KiB. Here from the twin's broker, by the real reader."""

    async def live() -> None:
        with TwinKafka().installed() as kafka:
            kafka.create([Topic(LEDGER, 1, {"max.message.bytes": str(MESSAGE_BYTES_MAX)})])
            value = bytes(512 * 1024)
            for _ in range(60):
                kafka.write(LEDGER, value)
            ahead, seen = [0], [0]
            following: tail.LedgerTail

            def fold(records: Sequence[Record]) -> None:
                seen[0] += len(records)
                held = sum(len(one.value or b"") for chunk in following._chunks for one in chunk)
                ahead.append(held)

            following = tail.LedgerTail(kafka.brokers, 0, 0, on_records=fold, on_failure=lambda error: None)
            await until_async(lambda: seen[0] == 60, "all is read")
            assert max(ahead) <= (tail.CHUNKS_AHEAD + 1) * (tail.CHUNK_BYTES + len(value))
            following.close()

    run(live)
