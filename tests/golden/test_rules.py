"""The decision rules do not change by accident: a ledger of each version is kept, and today's is decided again."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from contract.batch import Batch
from contract.chain import Chain, Counted
from contract.codec import encode
from contract.events import AttemptClosed, Event, NodeRefused, Opened, RecallOrdered
from scheduling import RULES, invariants, snapshot
from scheduling.decide import Clock, decide
from scheduling.evolve import fold
from scheduling.state.pool import initial_state

HERE = Path(__file__).parent
LEDGERS = sorted(HERE.glob("rules_*.jsonl"))


def batches(path: Path) -> list[Counted]:
    chain = Chain("main")
    counted = [chain.offer(offset, record) for offset, record in enumerate(path.read_bytes().splitlines())]
    return [record for record in counted if isinstance(record, Counted)]


def test_todays_rules_decide_the_golden_ledger_byte_for_byte() -> None:
    path = HERE / f"rules_{RULES}.jsonl"
    assert path.exists(), "RULES was raised: make its golden ledger with `python -m tests.golden.rules`"
    state = initial_state("main")
    for offset, (record, counted) in enumerate(zip(path.read_bytes().splitlines(), batches(path), strict=True)):
        batch = counted.batch
        if not any(isinstance(event, Opened) for event in batch.events):
            again = snapshot.decode(snapshot.encode(state))
            clock = Clock(batch.epoch, batch.seq, batch.now_ms, batch.elapsed_ms, batch.caught_up)
            events = decide(again, batch.inputs, clock).events
            decided = encode(
                Batch(
                    batch.pool,
                    batch.epoch,
                    batch.seq,
                    batch.prev_hash,
                    batch.now_ms,
                    batch.elapsed_ms,
                    batch.caught_up,
                    batch.position,
                    batch.inputs,
                    tuple(events),
                )
            )
            assert decided == record, f"record {offset} is decided otherwise: raise scheduling.RULES if that is meant"
        fold(state, batch, counted.hash, offset)


@pytest.mark.parametrize("path", LEDGERS, ids=lambda path: path.stem)
def test_the_ledgers_of_all_rules_still_fold(path: Path) -> None:
    state = initial_state("main")
    for offset, counted in enumerate(batches(path)):
        fold(state, counted.batch, counted.hash, offset)
        assert invariants.check(state) == []


def test_the_golden_ledger_meets_every_event() -> None:
    events = [event for counted in batches(HERE / f"rules_{RULES}.jsonl") for event in counted.batch.events]
    assert set(get_args(Event)) - {type(event) for event in events} == set()
    refusals = {event.reason for event in events if isinstance(event, NodeRefused)}
    assert {"revoked", "no_token", "not_confined", "name_taken", "unknown_cluster"} - refusals == set()
    actors = {actor for event in events if (actor := getattr(event, "actor", ""))}
    assert actors == {"operator.ada", "operator.bob", "api:key7", "relay:eve@lab"}
    closed = {event.reason for event in events if isinstance(event, AttemptClosed)}
    assert "revoked" in closed
    assert "not_confined" in {event.reason for event in events if isinstance(event, RecallOrdered)}
