"""Random lives: every wait is explained to the millisecond, from wherever one reads; every cause is tested."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobUnknown, LedgerRecord
from audit.waits.causes import CauseGroup
from audit.waits.contention import Contention
from audit.waits.wait import Wait
from audit.waits.why import why
from contract.snapshot_names import names_in
from scheduling import snapshot
from tests.simulation.world import World
from tests.unit.audit.ledger import POOL
from tests.unit.audit.pasts import Store
from tests.unit.audit.waits import AT_NODE, BEFORE_THE_LINE, IN_LINE, PREPARING, check


@pytest.mark.parametrize("seed", range(12))
def test_in_simulated_worlds_the_causes_of_every_job_sum_to_its_wait(seed: int) -> None:
    """Outages, takeovers, lost nodes, recalls, drains, changed policies and SLOs: no part of a wait goes missing."""
    world = World(seed)
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    past = LedgerPast(POOL, lambda first: iter(records[first:]))
    known = 0
    for job in sorted(world.auditor.book.jobs):
        try:
            wait = why(job, past)
        except JobUnknown:
            continue
        check(wait)
        known += 1
    assert known > 5


@pytest.mark.parametrize("seed", range(12, 18))
def test_looking_only_at_nodes_that_changed_finds_what_looking_at_all_does(seed: int) -> None:
    world = World(seed)
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    past = LedgerPast(POOL, lambda first: iter(records[first:]))

    def waits() -> list[Wait]:
        return [why(job, past) for job in sorted(world.auditor.book.jobs) if accepted(job)]

    def accepted(job: str) -> bool:
        try:
            return bool(why(job, past))
        except JobUnknown:
            return False

    quick = waits()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Contention, "look_again", lambda held, state, nodes: held.look(state))
        assert waits() == quick


def test_from_a_snapshot_the_same_comes_out_as_from_the_beginning() -> None:
    assert sum(_begun_at_a_snapshot(World(seed)) for seed in range(3, 9)) > 5


def _begun_at_a_snapshot(world: World) -> int:
    """How many waits of this world were read from a snapshot on; each must be the same as from the beginning."""
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    store = Store()
    for _, _, data in world.snapshots.stored:
        store.keep(snapshot.decode(data))
    whole = LedgerPast(POOL, lambda first: iter(records[first:]))
    begun: list[int] = []

    def read(first: int) -> Iterator[LedgerRecord]:
        begun.append(first)
        return iter(records[first:])

    shortcut = LedgerPast(POOL, read, end=len(records), store=store, names=names_in(store.objects))  # type: ignore[arg-type]
    for job in sorted(world.auditor.book.jobs):
        try:
            expected = why(job, whole)
        except JobUnknown:
            continue
        assert why(job, shortcut, expected.submitted_ms) == expected
    return sum(first > 0 for first in begun)


def test_every_group_of_causes_has_tests_that_miss_it() -> None:
    """Each `test_why_…` drops the causes of its groups in turn."""
    assert sorted((*BEFORE_THE_LINE, *PREPARING, *IN_LINE, *AT_NODE)) == sorted(CauseGroup)
