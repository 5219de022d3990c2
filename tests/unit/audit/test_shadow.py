"""A candidate policy beside the one in force: what it would have done, from its records alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from audit.recorded import recorded
from audit.shadow import Shadow, follow
from audit.shadow_log import Log
from audit.simulation import Simulation
from audit.what_if import CHANGED, Changes, of_ledger
from contract.events import JobDispatched
from contract.policy import Policy, Tier
from contract.shadows import ShadowAdvanced, ShadowDispatch, ShadowJob, ShadowRecord
from scheduling.state import State
from tests.unit.audit.ledger import POLICY, POOL, Ledger, lived_in
from tests.unit.audit.test_what_if import NOTHING, busy

SWAPPED = msgspec.structs.replace(POLICY, tiers={"api": Tier(100_000), "free": Tier(10_000)})
"""What was the urgent tier is the patient one."""


class Written:
    """Follows a ledger to its end; what the shadow wrote."""

    def __init__(self, ledger: Ledger, policy: Policy, since_ms: int = 0, behind_ms: int = 3_600_000) -> None:
        self.records: list[ShadowRecord] = []
        self.shadow: Shadow | None = None

        def make(state: State) -> Shadow:
            log = Log("candidate", "run", POOL, self.records.append, lambda: True)
            self.shadow = Shadow(policy, state, log, behind_ms=behind_ms)
            return self.shadow

        self.damage = follow(ledger.past, make, since_ms)
        steps = [record for record in self.records if isinstance(record, ShadowAdvanced)]
        self.taken: list[ShadowJob] = [job for step in steps for job in step.taken]
        self.dispatched: list[ShadowDispatch] = [entry for step in steps for entry in step.dispatched]
        self.starts = {start.job: start.at_ms for step in steps for start in step.started}
        self.live_starts = {start.job: start.at_ms for step in steps for start in step.live_started}
        self.last = steps[-1]


def what_if_dispatches(ledger: Ledger, policy: Policy) -> list[tuple[int, str, str]]:
    given, seen = recorded(ledger.past), []  # type: ignore[var-annotated]

    def observe(now_ms: int, events: Sequence[object]) -> None:
        seen.extend((now_ms, event.job, event.node) for event in events if isinstance(event, JobDispatched))

    Simulation(
        policy, given.versions, given.arrivals, given.fleet, pool=POOL, said=given.operations, observer=observe
    ).run()
    return seen


@pytest.mark.parametrize("policy", [POLICY, SWAPPED, msgspec.structs.replace(POLICY, discipline="fifo")])
@pytest.mark.parametrize("ledger_of", [busy, lived_in], ids=["busy", "lived in"])
def test_over_a_finished_ledger_it_decides_what_what_if_decides(
    ledger_of: Callable[[], Ledger], policy: Policy
) -> None:
    ledger = ledger_of()
    written = Written(ledger, policy)
    found = [(entry.at_ms, entry.job, entry.node) for entry in written.dispatched]
    assert found == what_if_dispatches(ledger, policy)
    compared = of_ledger(recorded(ledger.past), Changes(policy=policy), NOTHING)
    starts = dict(zip(compared.arrivals.jobs, compared.starts_ms[CHANGED], strict=True))
    assert written.starts == starts
    assert written.last.left_out == compared.summary.left_out
