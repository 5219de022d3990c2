"""Shadows over ledgers of simulated worlds: takeovers, zombies, lost nodes, drains, cancels, failures, and gangs."""

from __future__ import annotations

import pytest

from audit.ledger.past import LedgerPast
from audit.ledger.reader import LedgerRecord
from contract.codec import decode_batch
from contract.events import JobAccepted
from contract.shadows import ShadowAdvanced, ShadowRecord
from scheduling import invariants
from tests.simulation.world import World
from whatif.compare import CHANGED, Changes, of_ledger
from whatif.recorded import recorded
from whatif.shadow.follower import follow
from whatif.shadow.log import ShadowLog
from whatif.shadow.shadow import SETTLED_MS, Shadow
from whatif.simulation.nodes import Costs

SEEDS = range(12)


class Told:
    def __init__(self, past: LedgerPast, since_ms: int) -> None:
        policy = recorded(past).policies[-1][1]
        records: list[ShadowRecord] = []
        log = ShadowLog("candidate", "run", past.pool, records.append, lambda: True)
        self.shadow, damage = follow(past, lambda state: Shadow(policy, state, log), since_ms)
        self.shadow.finish("the ledger ends")
        assert damage is None
        steps = [record for record in records if isinstance(record, ShadowAdvanced)]
        self.taken = [job.job for step in steps for job in step.taken]
        self.all_starts = [(start.job, start.at_ms) for step in steps for start in step.started]
        """First starts of each life of an id."""
        self.starts = dict(self.all_starts)
        self.left_out = steps[-1].left_out


def past_of(seed: int) -> LedgerPast:
    world = World(seed)
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    return LedgerPast("main", lambda first: iter(records[first:]))


def read_late(past: LedgerPast) -> bool:
    """Some job was read so long after its submission that a shadow can no longer let it arrive at its time."""
    accepted = (
        (batch.now_ms, event)
        for batch in (decode_batch(record.value) for record in past.ledger(0))
        for event in batch.events
        if isinstance(event, JobAccepted)
    )
    return any(now_ms - event.submitted_ms >= SETTLED_MS for now_ms, event in accepted)


def lived_twice(past: LedgerPast) -> bool:
    """Some id came again after it was forgotten: what-if names each life, and a shadow does not remember names so
    long."""
    batches = (decode_batch(record.value) for record in past.ledger(0))
    accepted = [event.job for batch in batches for event in batch.events if isinstance(event, JobAccepted)]
    return len(accepted) > len(set(accepted))


def test_from_the_beginning_it_decides_what_what_if_decides() -> None:
    pasts = [past for past in map(past_of, range(24)) if not read_late(past) and not lived_twice(past)]
    assert len(pasts) > 3
    for past in pasts:
        given = recorded(past)
        compared = of_ledger(given, Changes(policy=given.policies[-1][1]), Costs())
        told = Told(past, 0)
        starts = dict(zip(compared.arrivals.jobs, compared.starts_ms[CHANGED], strict=True))
        assert {job: starts[job] for job in told.starts} == told.starts
        lives = sorted(start_ms for start_ms in starts.values() if start_ms >= 0)  # earlier ones have other names there
        assert sorted(start_ms for _, start_ms in told.all_starts) == lives
        assert told.left_out == given.left_out


@pytest.mark.parametrize("seed", SEEDS)
def test_from_any_moment_every_job_ends_and_nothing_is_held(seed: int) -> None:
    past = past_of(seed)
    moments = [decode_batch(record.value).now_ms for record in past.ledger(0)]
    for since_ms in moments[len(moments) // 8 :: len(moments) // 4]:
        told = Told(past, since_ms)
        simulation = told.shadow.simulation
        assert simulation is not None
        assert invariants.check(simulation.state) == []
        assert set(told.taken) == set(told.starts)
        assert (len(simulation.state.jobs), told.shadow.held) == (0, 0)
        drained = [body for _, body in recorded(past).operations]
        assert simulation.state.stale.get("ClusterActivated", 0) <= len(drained)  # each is passed on once
        assert told.shadow.now_ms < moments[-1] + 3_600_000  # nothing that was stopped runs on
