"""Random lives: every wait is explained to the millisecond, from wherever one reads; no cause is forgotten unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobUnknown, LedgerRecord
from audit.waits.causes import Cause, CauseGroup, Shares
from audit.waits.contention import Contention
from audit.waits.wait import Wait
from audit.waits.why import why
from contract.snapshot_names import names_in
from scheduling import snapshot
from tests.simulation.world import World
from tests.unit.audit import test_why as causes
from tests.unit.audit.ledger import POOL
from tests.unit.audit.test_walk import Store
from tests.unit.audit.waits import check


@pytest.mark.parametrize("seed", range(12))
def test_in_simulated_worlds_the_causes_of_every_job_sum_to_its_wait(seed: int) -> None:
    """Outages, takeovers, lost nodes, recalls, drains, changed policies and SLOs: nothing of a wait goes missing. From
    a snapshot the same comes out as from the beginning."""
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
    """How many jobs of this life were explained from a snapshot on, each as from the beginning."""
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


def dropped(patch: pytest.MonkeyPatch, kind: CauseGroup) -> None:
    """The mutant: one cause is forgotten."""
    add, split = Shares.add, Shares.split

    def add_others(self: Shares, cause: Cause, *rest: Any) -> None:
        if cause.group is not kind:
            add(self, cause, *rest)

    def split_others(self: Shares, weights: dict[Cause, int], *rest: Any) -> None:
        others = {cause: held for cause, held in weights.items() if cause.group is not kind}
        if others:
            split(self, others, *rest)

    patch.setattr(Shares, "add", add_others)
    patch.setattr(Shares, "split", split_others)


@pytest.mark.parametrize("kind", CauseGroup)
def test_a_cause_that_is_dropped_is_missed(kind: CauseGroup) -> None:
    """Each kind has a test in test_why that fails without it."""
    with pytest.MonkeyPatch.context() as patch:
        dropped(patch, kind)
        missed = [test for test in ONE_CAUSE_AT_A_TIME if _fails(test)]
    assert missed, f"no test misses the cause {kind.value}"


def _fails(test: Callable[[], None]) -> bool:
    try:
        test()
    except AssertionError:
        return True
    return False


ONE_CAUSE_AT_A_TIME = (
    causes.test_on_its_way_to_the_scheduler,
    causes.test_no_scheduler_while_it_was_queued,
    causes.test_no_node_on_which_it_could_run,
    causes.test_outranked_by_the_jobs_that_were_picked_before_it,
    causes.test_passed_over_for_a_job_whose_version_was_loaded,
    causes.test_a_slot_kept_free_for_a_gang_until_it_is_let_go_of,
    causes.test_a_gang_that_gathers_its_slots,
    causes.test_a_limit_that_keeps_a_slot_empty,
    causes.test_a_cluster_that_drains,
    causes.test_staged_behind_a_running_attempt,
    causes.test_its_version_had_to_be_loaded_and_then_its_order_was_on_its_way,
    causes.test_parked_and_called_back,
    causes.test_an_attempt_that_ran_and_failed_and_the_rest_after_it,
)
