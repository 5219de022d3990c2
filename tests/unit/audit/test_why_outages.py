"""Waits while no scheduler led the pool, and what is no outage."""

from __future__ import annotations

import pytest

from audit.waits.causes import CauseGroup
from contract import inputs
from contract.policy import fingerprint
from tests.unit.audit.ledger import POLICY, VERSION, Ledger
from tests.unit.audit.waits import BEFORE_THE_LINE, behind, missed_by, ms_of, started, wait_of


def test_on_its_way_to_the_scheduler() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=300)
    started(ledger, 1)
    wait = wait_of(ledger, 1)
    assert wait.outcome == "started"
    assert ms_of(wait)[CauseGroup.ON_THE_WAY] == 300


def test_no_scheduler_while_it_was_on_its_way() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.now_ms += 2_000
    ledger.submit(1)
    ledger.now_ms += 60_000
    ledger.open("s2")
    ledger.decide(passed_ms=40)
    wait = wait_of(ledger, 1)
    assert ms_of(wait) == {CauseGroup.DOWN: 60_040}


def test_no_scheduler_while_it_was_queued() -> None:
    """The outage lasts until the takeover, and on to the newcomer's first decision."""
    ledger = behind()
    ledger.now_ms += 30_000
    ledger.open("s2")
    ledger.decide(passed_ms=50)
    ledger.decide(passed_ms=1_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.DOWN: 30_050, CauseGroup.BUSY: 1_000}


def test_a_batch_that_came_late_is_an_outage_beyond_the_lease_time_it_counts() -> None:
    ledger = behind()
    ledger.decide(passed_ms=40_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.BUSY: 10_000, CauseGroup.DOWN: 30_000}


def test_an_ordinary_tick_is_no_outage() -> None:
    ledger = behind()
    ledger.decide(passed_ms=5_900, elapsed_ms=5_000)
    assert CauseGroup.DOWN not in ms_of(wait_of(ledger, 5))
    ledger.decide(passed_ms=6_100, elapsed_ms=5_000)
    assert ms_of(wait_of(ledger, 5))[CauseGroup.DOWN] == 1_100


def test_a_pool_with_nothing_under_way_was_not_down() -> None:
    ledger = Ledger()
    ledger.decide(inputs.PolicyApplied(POLICY, fingerprint(POLICY)))
    ledger.decide(inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000))
    ledger.decide(inputs.AliasMoved("film", "live", VERSION, 1))
    ledger.now_ms += 3_600_000
    ledger.submit(1)
    ledger.decide(passed_ms=20)
    assert ms_of(wait_of(ledger, 1)) == {CauseGroup.ON_THE_WAY: 20}


ONE_CAUSE_AT_A_TIME = (
    test_on_its_way_to_the_scheduler,
    test_no_scheduler_while_it_was_queued,
)


@pytest.mark.parametrize("group", BEFORE_THE_LINE)
def test_a_cause_that_is_dropped_is_missed(group: CauseGroup) -> None:
    assert missed_by(group, ONE_CAUSE_AT_A_TIME), f"no test misses the cause {group.value}"
