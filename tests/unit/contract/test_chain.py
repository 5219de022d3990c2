"""Which records of a ledger count, which are a zombie's, and what is damage (I14)."""

from __future__ import annotations

import pytest

from contract.batch import GENESIS, Batch, hash_of
from contract.chain import Chain, Counted, Damaged, Ignored
from contract.codec import encode
from contract.events import Event, Opened, ReportStale
from contract.inputs import Input, NodeLeft

OPENED = Opened("session", "release", 1)
STALE = ReportStale("Started")


def record(prev: bytes | str, seq: int, epoch: int = 1, *events: Event, pool: str = "main", position: int = 0) -> bytes:
    prev_hash = prev if isinstance(prev, str) else hash_of(prev)
    return encode(Batch(pool, epoch, seq, prev_hash, 5, 0, True, position, (), events))


FIRST = record(GENESIS, 0, 1, OPENED)
SECOND = record(FIRST, 1, 1, STALE)
THIRD = record(SECOND, 2, 1, STALE)


def read(*records: bytes, chain: Chain | None = None) -> list[str]:
    chain = chain or Chain("main")
    start = chain.offset + 1
    return [type(chain.offer(start + place, data)).__name__ for place, data in enumerate(records)]


def test_records_that_follow_one_another_count() -> None:
    chain = Chain("main")
    assert read(FIRST, SECOND, THIRD, chain=chain) == ["Counted"] * 3
    assert (chain.seq, chain.epoch, chain.offset, chain.head_hash) == (2, 1, 2, hash_of(THIRD))


def test_what_counts_comes_with_its_batch_and_hash() -> None:
    counted = Chain("main").offer(7, FIRST)
    assert isinstance(counted, Counted)
    assert (counted.hash, counted.batch.events) == (hash_of(FIRST), (OPENED,))


def test_a_zombies_record_chains_on_an_earlier_one_and_changes_nothing() -> None:
    newcomer = record(SECOND, 2, 2, OPENED)
    zombie = record(SECOND, 2, 1, STALE)
    of_zombie = record(zombie, 3, 1, STALE)
    follows = record(newcomer, 3, 2, STALE)
    assert read(FIRST, SECOND, newcomer, zombie, of_zombie, follows) == [*["Counted"] * 3, *["Ignored"] * 2, "Counted"]


def test_a_zombies_record_that_came_first_fences_the_newcomers() -> None:
    newcomer = record(SECOND, 2, 2, OPENED)
    zombie = record(SECOND, 2, 1, STALE, position=1)
    assert read(FIRST, SECOND, zombie, newcomer) == [*["Counted"] * 3, "Ignored"]


def test_two_newcomers_on_an_empty_ledger() -> None:
    other = record(GENESIS, 0, 1, Opened("other", "release", 1))
    assert read(FIRST, other) == ["Counted", "Ignored"]


def test_a_record_written_twice_counts_once() -> None:
    assert read(FIRST, SECOND, SECOND, THIRD) == ["Counted", "Counted", "Ignored", "Counted"]


@pytest.mark.parametrize(
    "bad",
    [
        record(SECOND, 3, 1, STALE),
        record(SECOND, 1, 1, STALE),
        record(SECOND, 2, 2, STALE),
        record(SECOND, 2, 0, STALE),
        record(SECOND, 2, 1, OPENED),
        record(SECOND, 2, 3, OPENED),
        record(SECOND, 2, 2, OPENED, STALE),
        record("f" * 64, 2, 1, STALE),
        record("no hash", 2, 1, STALE),
        record(SECOND, 2, 1, STALE, pool="other"),
        b"{}",
        b"\x00not json",
        b"",
    ],
)
def test_everything_else_is_damage_and_says_where(bad: bytes) -> None:
    chain = Chain("main")
    read(FIRST, SECOND, chain=chain)
    with pytest.raises(Damaged, match=r"ledger offset 9: expected .*, found .*;") as caught:
        chain.offer(9, bad)
    assert caught.value.offset == 9


def test_an_opened_that_reads_inputs_is_damage() -> None:
    inputs = (Input(0, 0, NodeLeft("n", "s")),)
    with pytest.raises(Damaged):
        Chain("main").offer(0, encode(Batch("main", 1, 0, GENESIS, 5, 0, True, 1, inputs, (OPENED,))))


def test_a_ledger_begins_with_an_opened() -> None:
    for bad in (record(GENESIS, 0, 1, STALE), record(GENESIS, 0, 0, STALE)):
        with pytest.raises(Damaged):
            Chain("main").offer(0, bad)


def test_an_edited_a_removed_and_a_swapped_record_are_found() -> None:
    edited = SECOND.replace(b"Started", b"Stopped")
    for ledger in ((FIRST, edited, THIRD), (FIRST, THIRD), (FIRST, THIRD, SECOND)):
        with pytest.raises(Damaged):
            read(*ledger)


def test_a_reader_that_starts_at_a_snapshot_ignores_what_it_cannot_know() -> None:
    chain = Chain.at("main", hash_of(SECOND), 1, 1, 1)
    zombie = record(FIRST, 1, 1, STALE, position=9)
    assert read(zombie, THIRD, zombie, chain=chain) == ["Ignored", "Counted", "Ignored"]


def test_a_reader_that_starts_at_a_snapshot_still_finds_damage_at_the_head() -> None:
    chain = Chain.at("main", hash_of(SECOND), 1, 1, 1)
    with pytest.raises(Damaged):
        chain.offer(2, record(SECOND, 7, 1, STALE))


def test_offsets_must_rise() -> None:
    chain = Chain("main")
    chain.offer(3, FIRST)
    with pytest.raises(ValueError, match="expected an offset after 3"):
        chain.offer(3, SECOND)
    with pytest.raises(ValueError, match="expected an offset after 5"):
        Chain.at("main", hash_of(FIRST), 0, 1, 5).offer(5, SECOND)


def test_gaps_between_offsets_are_no_damage() -> None:
    chain = Chain("main")
    assert [type(chain.offer(offset, data)) for offset, data in ((3, FIRST), (8, SECOND))] == [Counted, Counted]


def test_ignored_says_why() -> None:
    chain = Chain("main")
    read(FIRST, SECOND, chain=chain)
    ignored = chain.offer(9, SECOND)
    assert isinstance(ignored, Ignored)
    assert "overtaken" in ignored.reason
