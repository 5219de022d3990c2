"""Waits of a job in its line: every cause has a ledger made for it."""

from __future__ import annotations

import msgspec
import pytest

from audit.waits.causes import Cause, CauseGroup
from audit.waits.sentences import explained
from contract import events as said
from contract import inputs
from contract.policy import Cluster, fingerprint
from tests.unit.audit.ledger import POLICY, POOL, VERSION, Ledger, job_of
from tests.unit.audit.waits import IN_LINE, Written, behind, missed_by, ms_of, wait_of

TIGHT = msgspec.structs.replace(POLICY, clusters={"east": Cluster(POOL, 1)})


def test_no_node_on_which_it_could_run() -> None:
    ledger = Ledger()
    ledger.set_up()
    other = "sha256:" + "c" * 64
    ledger.decide(
        inputs.VersionPublished("film", other, inputs.Requirements(("cuda",), 1), 60_000),
        inputs.AliasMoved("film", "live", other, 2),
    )
    ledger.submit(1)
    ledger.decide()
    ledger.decide(passed_ms=2_000)
    wait = wait_of(ledger, 1)
    assert ms_of(wait)[CauseGroup.NO_NODE] == 2_000
    assert "95 % because there was no node on which it could run" in explained(wait, operator=True).sentence


def test_a_node_that_takes_no_new_work_is_no_node() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", (), (), (), (), draining=True))
    ledger.submit(1)
    ledger.decide()
    ledger.decide(passed_ms=2_000)
    wait = wait_of(ledger, 1)
    assert wait.shares[Cause(CauseGroup.NO_NODE, reason="leaving")].ms == 2_000


def test_a_node_that_takes_nothing_new_for_now() -> None:
    for beat, reason in (
        (inputs.NodeHeartbeat("n1", "n1.a", holding="disk"), "disk"),
        (inputs.NodeHeartbeat("n1", "n1.a", usable=0), "slots"),
    ):
        ledger = Ledger()
        ledger.set_up()
        ledger.decide(beat)
        ledger.submit(1)
        ledger.decide()
        ledger.decide(passed_ms=2_000)
        assert wait_of(ledger, 1).shares[Cause(CauseGroup.SET_ASIDE, cluster="east", reason=reason)].ms == 2_000


def test_a_pool_on_hold() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.HoldRequested())
    ledger.submit(1)
    ledger.decide()
    ledger.decide(passed_ms=2_000)
    wait = wait_of(ledger, 1)
    assert ms_of(wait)[CauseGroup.HELD] == 2_000
    assert "because the pool was on hold" in explained(wait, operator=False).sentence


def test_a_version_that_was_withdrawn_until_its_alias_moves() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.HoldRequested())
    ledger.submit(1)
    ledger.decide(inputs.WithdrawRequested("film", VERSION), inputs.ReleaseRequested())
    ledger.decide(passed_ms=2_000)
    other = "sha256:" + "c" * 64
    needs = inputs.Requirements(("cpu",), 0)
    ledger.decide(inputs.VersionPublished("film", other, needs, 60_000), inputs.AliasMoved("film", "live", other, 2))
    wait = wait_of(ledger, 1)
    assert ms_of(wait)[CauseGroup.WITHDRAWN] == 2_100
    assert "because its version was withdrawn, and its alias had not moved" in explained(wait, operator=False).sentence


def test_slots_taken_since_before_it_came() -> None:
    ledger = behind()
    ledger.decide(passed_ms=3_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.BUSY: 3_000}
    assert wait.outcome == "waiting"


def test_outranked_by_the_jobs_that_were_picked_before_it() -> None:
    """Job 3 waits for two slots. First jobs from before job 3 hold both; then a job that was picked before job 3 holds
    one; then jobs of two tenants hold both."""
    pool = Written()
    pool.write(pool.accept(1), pool.accept(2))
    pool.write(pool.dispatch(1, 0), pool.dispatch(2, 1))
    pool.start(1, 2)
    pool.write(pool.accept(3))
    pool.write(pool.accept(4, "api", "globex"), after_ms=1_000)
    pool.write(*pool.succeed(1), pool.dispatch(4, 1), after_ms=10)
    pool.start(4)
    pool.write(pool.accept(5, "api", "initech"), after_ms=2_000)
    pool.write(*pool.succeed(2), pool.dispatch(5, 1), after_ms=10)
    pool.start(5)
    pool.write(after_ms=3_000)
    wait = pool.wait(3)
    globex, initech = (Cause(CauseGroup.OUTRANKED, tier="api", tenant=name) for name in ("globex", "initech"))
    # 1,010 ms of old holders; 2,020 ms half and half; 3,010 ms of both newcomers
    assert ms_of(wait) == {CauseGroup.BUSY: 1_010 + 1_010, CauseGroup.OUTRANKED: 1_010 + 3_010}
    assert wait.shares[globex].ms == 1_010 + 1_505
    assert wait.shares[initech].ms == 1_505
    assert wait.shares[globex].jobs == {job_of(4)}
    assert wait.shares[initech].jobs == {job_of(5)}
    said_of_it = explained(wait, operator=True).sentence
    assert "67 % because 2 jobs of tier api (tenants globex, initech) went first" in said_of_it


def test_whoever_goes_in_the_record_in_which_its_rest_ends_goes_first() -> None:
    pool = Written()
    pool.write(pool.accept(1))
    pool.write(pool.dispatch(1))
    pool.start(1)
    pool.write(pool.ledger.failed(job_of(1)), said.JobRequeued(job_of(1), 1_000), pool.accept(2))
    pool.write(pool.dispatch(2, 0), after_ms=1_000)
    pool.write(after_ms=100)
    assert ms_of(pool.wait(1))[CauseGroup.OUTRANKED] == 50


def test_passed_over_for_a_job_whose_version_was_loaded() -> None:
    pool = Written()
    pool.write(pool.accept(1), pool.accept(2))
    pool.write(pool.accept(3), pool.dispatch(1, 1), pool.dispatch(2, 2, passed=job_of(3)))
    pool.write(after_ms=1_000)
    wait = pool.wait(3)
    assert ms_of(wait) == {CauseGroup.OUTRANKED: 500, CauseGroup.PASSED_OVER: 500}
    assert wait.shares[Cause(CauseGroup.PASSED_OVER, tier="free")].jobs == {job_of(2)}


def test_a_slot_kept_free_for_a_gang_until_it_is_let_go_of() -> None:
    pool = Written()
    pool.write(pool.accept(1), pool.accept(9, tenant="globex"), said.GangReserved(job_of(9), "east", ("n-1", "n-1")))
    pool.write(said.GangReleased(job_of(9), "node_gone"), after_ms=1_000)
    pool.write(after_ms=200)
    wait = pool.wait(1)
    assert ms_of(wait) == {CauseGroup.GANG_KEPT: 1_000, CauseGroup.DECIDING: 200}
    assert wait.shares[Cause(CauseGroup.GANG_KEPT, tenant="globex", job=job_of(9))].ms == 1_000


def test_a_gang_holds_a_slot_for_each_rank() -> None:
    pool = Written(ranks=2)
    pool.write(pool.accept(1), pool.accept(2, tenant="globex"))
    first = pool.dispatch(1)
    pool.write(msgspec.structs.replace(first, members=(said.Member(first.node, first.session),)))
    pool.start(1)
    pool.write(after_ms=1_000)
    wait = pool.wait(2)
    assert ms_of(wait) == {CauseGroup.GATHERING: 10, CauseGroup.OUTRANKED: 1_010}, "both slots, from its dispatch on"
    assert wait.shares[Cause(CauseGroup.OUTRANKED, tier="free", tenant="acme")].jobs == {job_of(1)}


def test_a_gang_that_gathers_its_slots() -> None:
    pool = Written(ranks=2)
    pool.write(pool.accept(1))
    pool.write(pool.dispatch(1))
    pool.start(1)
    pool.write(pool.accept(2), said.GangReserved(job_of(2), "east", ("n-1",)))
    pool.write(after_ms=1_000)
    assert ms_of(pool.wait(2)) == {CauseGroup.BUSY: 500, CauseGroup.GATHERING: 500}


def test_a_limit_that_keeps_a_slot_empty() -> None:
    """Cluster east may hold one attempt that has not started, so its second slot is free and gets nothing."""
    ledger = Ledger()
    ledger.decide(
        inputs.PolicyApplied(TIGHT, fingerprint(TIGHT)),
        inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000),
        inputs.AliasMoved("film", "live", VERSION, 1),
        inputs.NodeJoined("n1", "n1.a", "east", "cpu", 2, 0, 4096),
    )
    ledger.submit(1)
    ledger.decide()
    ledger.submit(2)
    ledger.decide(passed_ms=10)
    ledger.decide(passed_ms=1_000)
    wait = wait_of(ledger, 2)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.BUSY: 500, CauseGroup.LIMIT: 500}
    assert wait.shares[Cause(CauseGroup.LIMIT, cluster="east")].ms == 500


def test_a_limit_is_no_cause_while_no_slot_is_free() -> None:
    """One more attempt staged behind running attempts would have started nothing sooner."""
    pool = Written(limit=1)
    pool.write(pool.accept(1), pool.accept(2), pool.accept(3))
    pool.write(pool.dispatch(1))
    pool.start(1)
    pool.write(pool.dispatch(2))
    pool.start(2)
    pool.write(pool.dispatch(3))
    pool.write(pool.accept(4))
    pool.write(after_ms=1_000)
    assert ms_of(pool.wait(4)) == {CauseGroup.BUSY: 1_000}


def test_a_cluster_that_drains() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.ClusterDrainRequested("east", 0))
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    ledger.decide(passed_ms=1_500)
    wait = wait_of(ledger, 1)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.DRAINING: 1_500}
    assert wait.shares[Cause(CauseGroup.DRAINING, cluster="east")].ms == 1_500


def test_a_scheduler_that_had_not_come_to_it() -> None:
    pool = Written()
    pool.write(pool.accept(1))
    pool.write(after_ms=70)
    assert ms_of(pool.wait(1)) == {CauseGroup.DECIDING: 70}


ONE_CAUSE_AT_A_TIME = (
    test_no_node_on_which_it_could_run,
    test_outranked_by_the_jobs_that_were_picked_before_it,
    test_passed_over_for_a_job_whose_version_was_loaded,
    test_a_slot_kept_free_for_a_gang_until_it_is_let_go_of,
    test_a_gang_that_gathers_its_slots,
    test_a_limit_that_keeps_a_slot_empty,
    test_a_cluster_that_drains,
    test_a_node_that_takes_nothing_new_for_now,
    test_a_pool_on_hold,
    test_a_version_that_was_withdrawn_until_its_alias_moves,
)


@pytest.mark.parametrize("group", IN_LINE)
def test_a_cause_that_is_dropped_is_missed(group: CauseGroup) -> None:
    assert missed_by(group, ONE_CAUSE_AT_A_TIME), f"no test misses the cause {group.value}"
