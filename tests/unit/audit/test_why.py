"""Every cause of a wait has a ledger made for it."""

from __future__ import annotations

import msgspec

from audit.waits.causes import Cause, CauseGroup
from audit.waits.sentences import explained
from contract import events as said
from contract import inputs
from contract.policy import Cluster, fingerprint
from tests.unit.audit.ledger import POLICY, POOL, VERSION, Ledger, job_of
from tests.unit.audit.waits import Written, alone, behind, full, ms_of, started, succeeded, wait_of

TIGHT = msgspec.structs.replace(POLICY, clusters={"east": Cluster(POOL, 1)})


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
    """The time until the takeover, and until the newcomer's first decision."""
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


def test_slots_taken_since_before_it_came() -> None:
    ledger = behind()
    ledger.decide(passed_ms=3_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.BUSY: 3_000}
    assert wait.outcome == "waiting"


def test_outranked_by_the_jobs_that_were_picked_before_it() -> None:
    """Job 3 waits for two slots. First both are held by jobs from before it came, then one by a job that was picked
    before it, then both by jobs of two tenants."""
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
    """Cluster east may hold one attempt that has not started: the second slot is free and gets nothing."""
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
    """One more attempt staged behind running ones would have started nothing sooner."""
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


def test_staged_behind_a_running_attempt() -> None:
    ledger = full()
    ledger.decide(passed_ms=4_000)
    succeeded(ledger, 1, 2)
    started(ledger, 3, 4)
    wait = wait_of(ledger, 3)
    (behind,) = [share for cause, share in wait.shares.items() if cause.group is CauseGroup.STAGED_BEHIND]
    assert behind.jobs == {job_of(1)}
    assert behind.ms >= 4_000
    assert f"at its node in cluster east it stood behind job {job_of(1)}" in explained(wait, operator=True).sentence


def test_staged_behind_one_job_after_the_other() -> None:
    """A deep line at a node is one cause, with the number of jobs that held its slot before it."""
    pool = Written(limit=9)
    numbers = range(1, 8)
    pool.write(*(pool.accept(number) for number in numbers))
    pool.write(*(pool.dispatch(number, index) for index, number in enumerate(numbers)))
    pool.start(1, 2)
    for number in (1, 3, 4, 5):
        pool.write(*pool.succeed(number), after_ms=1_000)
        pool.start(number + 2 if number == 1 else number + 1)
    pool.write(*pool.succeed(2), after_ms=10)
    pool.start(7)
    wait = pool.wait(7)
    (cause,) = [cause for cause in explained(wait, operator=False).causes if cause.cause == "staged_behind"]
    assert cause.ms > 4_000
    assert cause.jobs > 1
    assert f"behind {cause.jobs} jobs of tenant acme, one after the other" in cause.words


def test_those_that_run_hold_the_slots_whoever_was_dispatched_first() -> None:
    pool = Written()
    pool.write(pool.accept(1), pool.accept(2), pool.accept(3))
    pool.write(pool.dispatch(1, 0), pool.dispatch(2, 1), pool.dispatch(3, 2))
    pool.start(1, 3)
    pool.write(after_ms=1_000)
    assert ms_of(pool.wait(2))[CauseGroup.STAGED_BEHIND] == 1_000


def test_its_version_had_to_be_loaded_and_then_its_order_was_on_its_way() -> None:
    ledger = alone()
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", loaded=(VERSION,), cached=(VERSION,)), passed_ms=3_000)
    started(ledger, 1)
    assert ms_of(wait_of(ledger, 1)) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.VERSION: 3_000, CauseGroup.ORDER: 100}


def test_no_scheduler_while_it_was_at_its_node() -> None:
    """Its order may not have come, and its start is not recorded before someone leads again."""
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", loaded=(VERSION,), cached=(VERSION,)))
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    ledger.now_ms += 20_000
    ledger.open("s2")
    ledger.decide(passed_ms=10)
    started(ledger, 1)
    assert ms_of(wait_of(ledger, 1)) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.DOWN: 20_010, CauseGroup.ORDER: 100}


def test_parked_and_called_back() -> None:
    """Whatever it waited at the node that gave it back is to blame on its having been sent there."""
    pool = Written()
    pool.write(pool.accept(1))
    pool.write(pool.dispatch(1))
    pool.write(said.RecallOrdered(job_of(1), pool.ledger.dispatch(job_of(1)), "elsewhere"), after_ms=2_000)
    pool.write(pool.ledger.closed(job_of(1), "recalled"), said.JobRequeued(job_of(1), 0))
    pool.write(pool.dispatch(1))
    pool.start(1)
    wait = pool.wait(1)
    assert wait.shares[Cause(CauseGroup.PARKED, cluster="east", reason="recalled")].ms == 2_010
    assert ms_of(wait) == {CauseGroup.DECIDING: 20, CauseGroup.PARKED: 2_010, CauseGroup.VERSION: 10}
    assert "parked in cluster east" in explained(wait, operator=False).sentence


def test_an_attempt_that_ran_and_failed_and_the_rest_after_it() -> None:
    ledger = alone()
    started(ledger, 1)
    ledger.decide(passed_ms=4_000)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(passed_ms=POLICY.backoff_ms)
    started(ledger, 1)
    ledger.decide(passed_ms=4_000)
    wait = wait_of(ledger, 1)
    assert wait.shares[Cause(CauseGroup.RAN, attempt=1, reason="model_error")].ms == 4_100
    assert ms_of(wait)[CauseGroup.BACKOFF] == POLICY.backoff_ms
    assert wait.outcome == "started"
    assert wait.until_ms == ledger.now_ms - 4_000, "the run that goes on is no wait"


def test_a_rest_that_ends_between_two_records() -> None:
    ledger = alone()
    started(ledger, 1)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(passed_ms=POLICY.backoff_ms + 1_000)
    found = ms_of(wait_of(ledger, 1))
    assert (found[CauseGroup.BACKOFF], found[CauseGroup.DECIDING]) == (POLICY.backoff_ms, 1_000)
