"""The state at every record, from the beginning or from a snapshot; and ledgers that can't be believed."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from audit.ledger.past import LedgerFrom, Remembered, past_of_partition
from audit.ledger.reader import LedgerRecord
from audit.ledger.walk import Walk, walked
from contract import events as said
from contract.codec import encode
from scheduling import snapshot
from scheduling.state.pool import initial_state
from tests.unit.audit.ledger import POOL, Ledger, job_of, lived_in
from tests.unit.audit.pasts import Store, folded, past_of


def to_the_end(walk: Walk) -> Walk:
    for _ in walk:
        pass
    return walk


def test_a_walk_from_a_snapshot_ends_where_one_from_the_beginning_does() -> None:
    ledger, store = lived_in(), Store()
    middle = folded(ledger, 7)
    store.keep(middle)
    past = past_of(ledger, store)
    walk = to_the_end(Walk(past, past.state_before(middle.now_ms)))
    assert past.read_from == [7]
    assert snapshot.state_hash(walk.state) == snapshot.state_hash(ledger.state)
    assert walk.damage is None


def test_the_nearest_snapshot_before_a_moment_is_taken_and_a_damaged_one_passed_over() -> None:
    ledger, store = lived_in(), Store()
    early, late = folded(ledger, 3), folded(ledger, 8)
    store.keep(early)
    key = store.keep(late)
    past = past_of(ledger, store)
    assert past.state_before(late.now_ms).head_offset == 8
    assert past.state_before(late.now_ms - 1).head_offset == 3
    assert past.state_before(0).head_offset == -1
    store.objects[key] += b" "
    assert past.state_before(late.now_ms).head_offset == 3


def test_a_snapshot_behind_a_cut_tail_is_not_begun_with_and_the_cut_is_said() -> None:
    ledger, store = lived_in(), Store()
    key = store.keep(folded(ledger, 8))
    del ledger.records[8:]
    past = past_of(ledger, store)
    walk = to_the_end(Walk(past, past.state_before(10**15)))
    assert walk.damage is not None
    assert (walk.damage.offset, walk.damage.trusted_offset) == (8, 7)
    assert key in walk.damage.text
    assert "its tail was cut" in walk.damage.text


def test_the_views_show_a_cut_tail_too() -> None:
    ledger = lived_in()
    walk = to_the_end(Walk(past_of(ledger, remembered=(Remembered("the views", 99),)), initial_state(POOL)))
    assert walk.damage is not None
    assert "the views remembers a record at offset 99" in walk.damage.text


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_an_edited_record_and_what_follows_it_are_not_folded(from_snapshot: bool) -> None:
    """An edited record is still a record: the next record shows the edit, and neither is believed."""
    ledger, store = lived_in(), Store()
    if from_snapshot:
        store.keep(folded(ledger, 4))
    ledger.edit(9, ledger.records[9].value.replace(b'"elapsed_ms":', b'"elapsed_ms": '))
    past = past_of(ledger, store)
    walk = walked(past, 10**15, to_the_end)
    assert walk.damage is not None
    assert (walk.damage.offset, walk.damage.trusted_offset) == (10, 8)
    assert "offset 9 was edited" in walk.damage.text
    assert walk.state.head_offset == 8
    assert walk.damage.trusted_ms == walk.state.now_ms
    assert past.read_from[0] == (4 if from_snapshot else 0)


def test_a_record_that_can_not_be_read_is_named() -> None:
    ledger = lived_in()
    ledger.edit(6, b"{}")
    walk = to_the_end(Walk(past_of(ledger), initial_state(POOL)))
    assert walk.damage is not None
    assert (walk.damage.offset, walk.damage.trusted_offset) == (6, 5)


def test_a_removed_record_is_named() -> None:
    ledger = lived_in()
    del ledger.records[6]
    walk = to_the_end(Walk(past_of(ledger), initial_state(POOL)))
    assert walk.damage is not None
    assert (walk.damage.offset, walk.damage.trusted_offset) == (6, 5)


def test_an_event_that_can_not_have_been_is_named() -> None:
    ledger = lived_in()
    last = len(ledger.records) - 1
    batch = ledger.batch(last)
    ledger.rewrite(last, msgspec.structs.replace(batch, events=(said.AttemptStarted(job_of(1), "1.1.0"),)))
    walk = to_the_end(Walk(past_of(ledger), initial_state(POOL)))
    assert walk.damage is not None
    assert (walk.damage.offset, walk.damage.trusted_offset) == (last, last - 1)
    assert "can't be folded over it" in walk.damage.text
    believed = list(Walk(past_of(ledger), initial_state(POOL)).believed())
    assert believed == [ledger.batch(offset) for offset in range(last)]


def test_a_snapshot_of_another_history_is_left_for_the_beginning() -> None:
    ledger, other, store = lived_in(), Ledger(), Store()
    other.decide(passed_ms=7)
    other.set_up()
    store.keep(other.state)
    for records in (len(ledger.records), other.state.head_offset + 1):  # also where the snapshot's record is the last
        del ledger.records[records:]
        past = past_of(ledger, store)
        walk = walked(past, 10**15, to_the_end)
        assert walk.whole
        assert walk.damage is None
        assert walk.state.head_offset == records - 1


def test_a_record_whose_time_runs_backwards_is_named() -> None:
    ledger = lived_in()
    last = len(ledger.records) - 1
    batch = ledger.batch(last)
    ledger.edit(last, encode(msgspec.structs.replace(batch, now_ms=1)))
    walk = Walk(ledger.past, initial_state(POOL))
    assert len(list(walk.believed())) == last
    assert walk.damage is not None
    assert (walk.damage.offset, walk.damage.trusted_offset) == (last, last - 1)
    assert "expected a time of at least" in walk.damage.text


def test_a_record_that_is_there_twice_is_damage_after_it() -> None:
    ledger = lived_in()
    ledger.records.insert(4, ledger.records[3])
    walk = Walk(ledger.past, initial_state(POOL))
    assert len(list(walk.believed())) == 4
    assert walk.damage is not None
    assert (walk.damage.offset, walk.damage.trusted_offset) == (4, 3)


def test_every_record_of_a_partition_is_read_through_what_bounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk reads through the bound, and so does the search for what is wrong with a record."""
    ledger = lived_in()
    ledger.edit(6, ledger.records[6].value.replace(b'"elapsed_ms":', b'"elapsed_ms": '))
    end, read, counted = len(ledger.records), 0, 0

    def records(first: int) -> Iterator[LedgerRecord]:
        nonlocal read
        for record in ledger.records[first:]:
            read += 1
            yield record

    def counting(unbounded: LedgerFrom) -> LedgerFrom:
        def through(first: int) -> Iterator[LedgerRecord]:
            nonlocal counted
            for record in unbounded(first):
                counted += 1
                yield record

        return through

    monkeypatch.setattr("audit.ledger.past.ledger_from", lambda bootstrap, partition: (records, end))
    past = past_of_partition("", POOL, 0, None, (), counting)  # type: ignore[arg-type]
    assert to_the_end(Walk(past, initial_state(POOL))).damage is not None
    assert counted == read > 8
