"""What a writer remembers of its own records: the one in flight, and those that it has not read back."""

from __future__ import annotations

import pytest

from contract.batch import GENESIS
from scheduling.decide import Clock
from scheduling.state.pool import initial_state
from streams.ledger.own_records import OwnRecord, OwnRecords, batch_without_events

CLOCK = Clock(epoch=3, seq=7, now_ms=1_000, elapsed_ms=50, caught_up=True)
BATCH = batch_without_events(initial_state("main"), CLOCK, 12, ())


def appended(*hashes: str) -> OwnRecords:
    own = OwnRecords()
    for record_hash in hashes:
        own.append(OwnRecord(BATCH, record_hash, ()))
        own.land()
    return own


def test_a_batch_says_where_and_when_it_was_decided() -> None:
    said = (BATCH.pool, BATCH.epoch, BATCH.seq, BATCH.now_ms, BATCH.elapsed_ms, BATCH.caught_up, BATCH.position)
    assert said == ("main", 3, 7, 1_000, 50, True, 12)
    assert (BATCH.prev_hash, BATCH.inputs, BATCH.events) == (GENESIS, (), ())


def test_a_record_is_in_flight_until_it_lands() -> None:
    own = OwnRecords()
    record = OwnRecord(BATCH, "a", ())
    own.append(record)
    assert own.in_flight is own.last is record
    assert own.land() is record
    assert own.in_flight is None
    assert own.last is record
    with pytest.raises(ValueError, match="none is in flight"):
        own.land()


def test_records_are_read_back_in_their_order() -> None:
    own = appended("a", "b")
    assert not own.read_back("b"), "`a` comes first"
    assert not own.read_back("somebody's")
    assert own.read_back("a")
    assert not own.all_read_back
    assert own.is_unread("b")
    assert own.read_back("b")
    assert own.all_read_back
    assert not own.is_unread("b")


def test_what_does_not_count_is_forgotten() -> None:
    own = appended("a", "b")
    own.forget_unread()
    assert own.all_read_back
    assert not own.read_back("a")
