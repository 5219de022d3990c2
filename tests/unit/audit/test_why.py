"""Every cause of a wait has a ledger made for it; and of every wait the causes sum to it exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.causes import Cause, Kind, Shares, apportioned
from audit.contention import Contention
from audit.explained import Why, explained
from audit.following import Promised, Wait
from audit.past import NotBelieved, Past
from audit.reader import LedgerRecord
from audit.why import JobUnknown, why
from contract import events as said
from contract import inputs
from contract.codec import encode
from contract.policy import Cluster, fingerprint
from scheduling import snapshot
from scheduling.snapshot_names import key_of, names_in
from tests.simulation.world import World
from tests.unit.audit.ledger import POLICY, POOL, SECRET, VERSION, Ledger, job_of, lived_in
from tests.unit.audit.test_past import Store
from tests.unit.audit.test_past import past_of as past_with
from tests.unit.views.ledger import VERSION as WRITTEN_VERSION
from tests.unit.views.ledger import Ledger as WrittenLedger
from tests.unit.views.ledger import policy_of

TIGHT = msgspec.structs.replace(POLICY, clusters={"east": Cluster(POOL, 1)})


def past_of(ledger: Ledger) -> Past:
    return Past(POOL, lambda first: iter([record for record in ledger.records if record.offset >= first]))


def wait_of(ledger: Ledger, number: int, now_ms: int = 0) -> Wait:
    wait = why(job_of(number), past_of(ledger), now_ms=now_ms)
    check(wait)
    return wait


def check(wait: Wait) -> None:
    """What must hold of every wait, whoever looks at it."""
    wait_ms = wait.until_ms - wait.submitted_ms
    assert wait_ms >= 0
    assert sum(share.ms for share in wait.shares.values()) == wait_ms
    for operator in (True, False):
        shown = explained(wait, operator=operator)
        assert sum(cause.ms for cause in shown.causes) == shown.wait_ms == wait_ms
        assert sum(cause.percent for cause in shown.causes) == (100 if wait_ms else 0)
        assert all(cause.ms > 0 and cause.words for cause in shown.causes)
        assert all(wait.submitted_ms <= c.from_ms < c.until_ms <= wait.until_ms for c in shown.causes)


def ms_of(wait: Wait) -> dict[Kind, int]:
    sums: dict[Kind, int] = {}
    for cause, share in wait.shares.items():
        if share.ms:
            sums[cause.kind] = sums.get(cause.kind, 0) + share.ms
    return sums


def started(ledger: Ledger, *numbers: int) -> None:
    ledger.report(*(inputs.Started(job_of(n), ledger.dispatch_of(n)) for n in numbers))


def succeeded(ledger: Ledger, *numbers: int) -> None:
    ledger.report(*(inputs.Succeeded(job_of(n), ledger.dispatch_of(n), "sha256:" + "e" * 64) for n in numbers))


def full(numbers: tuple[int, ...] = (1, 2, 3, 4)) -> Ledger:
    """A node with two slots that two jobs hold, and two more staged behind them: nothing more fits."""
    ledger = Ledger()
    ledger.set_up()
    for number in numbers:
        ledger.submit(number)
    ledger.decide()
    started(ledger, *numbers[:2])
    return ledger


# -- one cause at a time -------------------------------------------------------------------------------------


def test_on_its_way_to_the_scheduler() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=300)
    started(ledger, 1)
    wait = wait_of(ledger, 1)
    assert wait.outcome == "started"
    assert ms_of(wait)[Kind.ON_THE_WAY] == 300


def test_no_scheduler_while_it_was_on_its_way() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.now_ms += 2_000
    ledger.submit(1)
    ledger.now_ms += 60_000
    ledger.open("s2")
    ledger.decide(passed_ms=40)
    wait = wait_of(ledger, 1)
    assert ms_of(wait) == {Kind.DOWN: 60_040}


def test_no_scheduler_while_it_was_queued() -> None:
    """The time until the takeover, and until the newcomer's first decision."""
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    ledger.now_ms += 30_000
    ledger.open("s2")
    ledger.decide(passed_ms=50)
    ledger.decide(passed_ms=1_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.DOWN: 30_050, Kind.BUSY: 1_000}


def test_a_batch_that_came_late_is_an_outage_beyond_the_lease_time_it_counts() -> None:
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    ledger.decide(passed_ms=40_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.BUSY: 10_000, Kind.DOWN: 30_000}


def test_an_ordinary_tick_is_no_outage() -> None:
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    ledger.decide(passed_ms=5_900, elapsed_ms=5_000)
    assert Kind.DOWN not in ms_of(wait_of(ledger, 5))
    ledger.decide(passed_ms=6_100, elapsed_ms=5_000)
    assert ms_of(wait_of(ledger, 5))[Kind.DOWN] == 1_100


def test_a_pool_with_nothing_under_way_was_not_down() -> None:
    ledger = Ledger()
    ledger.decide(inputs.PolicyApplied(POLICY, fingerprint(POLICY)))
    ledger.decide(inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000))
    ledger.decide(inputs.AliasMoved("film", "live", VERSION, 1))
    ledger.now_ms += 3_600_000
    ledger.submit(1)
    ledger.decide(passed_ms=20)
    assert ms_of(wait_of(ledger, 1)) == {Kind.ON_THE_WAY: 20}


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
    assert ms_of(wait)[Kind.NO_NODE] == 2_000
    assert "95 % because there was no node on which it could run" in explained(wait, operator=True).sentence


def test_a_node_that_takes_no_new_work_is_no_node() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", (), (), (), (), draining=True))
    ledger.submit(1)
    ledger.decide()
    ledger.decide(passed_ms=2_000)
    wait = wait_of(ledger, 1)
    assert wait.shares[Cause(Kind.NO_NODE, reason="leaving")].ms == 2_000


def test_slots_taken_since_before_it_came() -> None:
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    ledger.decide(passed_ms=3_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.BUSY: 3_000}
    assert wait.outcome == "waiting"


class Written:
    """A pool written event by event: node n-1 with two slots in cluster east, and what the real core would not do."""

    def __init__(self, *, ranks: int = 1, limit: int = 4) -> None:
        self.ledger = WrittenLedger(POOL)
        self.ledger.open()
        self.ledger.adopt(policy_of(POOL, limit=limit))
        needs = inputs.Requirements(("cpu",), 0, 64, ranks)
        self.ledger.write(
            said.VersionRegistered("noop", WRITTEN_VERSION, needs, 60_000),
            said.AliasPointed("noop", "live", WRITTEN_VERSION, 1),
        )
        self.ledger.admit("n-1")

    def accept(self, number: int, tier: str = "free", tenant: str = "acme") -> said.JobAccepted:
        return msgspec.structs.replace(self.ledger.accepted(job_of(number), tenant, tier), submitted_ms=self._next_ms)

    @property
    def _next_ms(self) -> int:
        return self.ledger.now_ms + 10

    def dispatch(self, number: int, index: int = 0, node: str = "n-1", **fields: object) -> said.JobDispatched:
        return msgspec.structs.replace(self.ledger.dispatched(job_of(number), node, index=index), **fields)

    def write(self, *events: said.Event, after_ms: int = 10) -> None:
        self.ledger.write(*events, after_ms=after_ms)

    def start(self, *numbers: int) -> None:
        self.write(*(self.ledger.started(job_of(number)) for number in numbers))

    def succeed(self, *numbers: int) -> list[said.Event]:
        return [self.ledger.succeeded(job_of(number)) for number in numbers]

    def wait(self, number: int) -> Wait:
        records = [LedgerRecord(at, r.batch.now_ms, encode(r.batch)) for at, r in enumerate(self.ledger.records)]
        wait = why(job_of(number), Past(POOL, lambda first: iter(records[first:])))
        check(wait)
        return wait


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
    globex, initech = (Cause(Kind.OUTRANKED, tier="api", tenant=name) for name in ("globex", "initech"))
    # 1,010 ms of old holders; 2,020 ms half and half; 3,010 ms of both newcomers
    assert ms_of(wait) == {Kind.BUSY: 1_010 + 1_010, Kind.OUTRANKED: 1_010 + 3_010}
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
    assert ms_of(pool.wait(1))[Kind.OUTRANKED] == 50


def test_passed_over_for_a_job_whose_version_was_loaded() -> None:
    pool = Written()
    pool.write(pool.accept(1), pool.accept(2))
    pool.write(pool.accept(3), pool.dispatch(1, 1), pool.dispatch(2, 2, passed=job_of(3)))
    pool.write(after_ms=1_000)
    wait = pool.wait(3)
    assert ms_of(wait) == {Kind.OUTRANKED: 500, Kind.PASSED_OVER: 500}
    assert wait.shares[Cause(Kind.PASSED_OVER, tier="free")].jobs == {job_of(2)}


def test_a_slot_kept_free_for_a_gang_until_it_is_let_go_of() -> None:
    pool = Written()
    pool.write(pool.accept(1), pool.accept(9, tenant="globex"), said.GangReserved(job_of(9), "east", ("n-1", "n-1")))
    pool.write(said.GangReleased(job_of(9), "node_gone"), after_ms=1_000)
    pool.write(after_ms=200)
    wait = pool.wait(1)
    assert ms_of(wait) == {Kind.GANG_KEPT: 1_000, Kind.DECIDING: 200}
    assert wait.shares[Cause(Kind.GANG_KEPT, tenant="globex", job=job_of(9))].ms == 1_000


def test_a_gang_that_gathers_its_slots() -> None:
    pool = Written(ranks=2)
    pool.write(pool.accept(1))
    pool.write(pool.dispatch(1))
    pool.start(1)
    pool.write(pool.accept(2), said.GangReserved(job_of(2), "east", ("n-1",)))
    pool.write(after_ms=1_000)
    assert ms_of(pool.wait(2)) == {Kind.BUSY: 500, Kind.GATHERING: 500}


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
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.BUSY: 500, Kind.LIMIT: 500}
    assert wait.shares[Cause(Kind.LIMIT, cluster="east")].ms == 500


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
    assert ms_of(pool.wait(4)) == {Kind.BUSY: 1_000}


def test_a_cluster_that_drains() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.ClusterDrainRequested("east", 0))
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    ledger.decide(passed_ms=1_500)
    wait = wait_of(ledger, 1)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.DRAINING: 1_500}
    assert wait.shares[Cause(Kind.DRAINING, cluster="east")].ms == 1_500


def test_a_scheduler_that_had_not_come_to_it() -> None:
    pool = Written()
    pool.write(pool.accept(1))
    pool.write(after_ms=70)
    assert ms_of(pool.wait(1)) == {Kind.DECIDING: 70}


def test_staged_behind_a_running_attempt() -> None:
    ledger = full()
    ledger.decide(passed_ms=4_000)
    succeeded(ledger, 1, 2)
    started(ledger, 3, 4)
    wait = wait_of(ledger, 3)
    (behind,) = [share for cause, share in wait.shares.items() if cause.kind is Kind.STAGED_BEHIND]
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
    assert ms_of(pool.wait(2))[Kind.STAGED_BEHIND] == 1_000


def test_its_version_had_to_be_loaded_and_then_its_order_was_on_its_way() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", loaded=(VERSION,), cached=(VERSION,)), passed_ms=3_000)
    started(ledger, 1)
    assert ms_of(wait_of(ledger, 1)) == {Kind.ON_THE_WAY: 10, Kind.VERSION: 3_000, Kind.ORDER: 100}


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
    assert ms_of(wait_of(ledger, 1)) == {Kind.ON_THE_WAY: 10, Kind.DOWN: 20_010, Kind.ORDER: 100}


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
    assert wait.shares[Cause(Kind.PARKED, cluster="east", reason="recalled")].ms == 2_010
    assert ms_of(wait) == {Kind.DECIDING: 20, Kind.PARKED: 2_010, Kind.VERSION: 10}
    assert "parked in cluster east" in explained(wait, operator=False).sentence


def test_an_attempt_that_ran_and_failed_and_the_rest_after_it() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    started(ledger, 1)
    ledger.decide(passed_ms=4_000)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(passed_ms=POLICY.backoff_ms)
    started(ledger, 1)
    ledger.decide(passed_ms=4_000)
    wait = wait_of(ledger, 1)
    assert wait.shares[Cause(Kind.RAN, attempt=1, reason="model_error")].ms == 4_100
    assert ms_of(wait)[Kind.BACKOFF] == POLICY.backoff_ms
    assert wait.outcome == "started"
    assert wait.until_ms == ledger.now_ms - 4_000, "the run that goes on is no wait"


def test_a_rest_that_ends_between_two_records() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    started(ledger, 1)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(passed_ms=POLICY.backoff_ms + 1_000)
    found = ms_of(wait_of(ledger, 1))
    assert (found[Kind.BACKOFF], found[Kind.DECIDING]) == (POLICY.backoff_ms, 1_000)


# -- the whole wait ------------------------------------------------------------------------------------------


def test_a_run_belongs_to_the_wait_only_when_the_job_had_to_go_again() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    ledger.succeed(1)
    wait = wait_of(ledger, 1)
    assert Kind.RAN not in ms_of(wait)
    assert wait.outcome == "started"


def test_a_job_that_was_cancelled_while_it_waited_never_started() -> None:
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    ledger.decide(inputs.CancelRequested(job_of(5), "acme"), passed_ms=700)
    ledger.decide(passed_ms=5_000)
    wait = wait_of(ledger, 5)
    assert (wait.outcome, wait.until_ms - wait.submitted_ms) == ("ended", 710)
    assert "never started; it waited 710 ms" in explained(wait, operator=False).sentence


def test_a_job_that_was_cancelled_after_a_failed_run_waited_for_a_second_start() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    started(ledger, 1)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(inputs.CancelRequested(job_of(1), "acme"), passed_ms=500)
    wait = wait_of(ledger, 1)
    assert (wait.outcome, wait.until_ms) == ("ended", ledger.now_ms)
    assert {Kind.RAN, Kind.BACKOFF} <= set(ms_of(wait))


def test_a_wait_goes_on_after_the_ledgers_last_record() -> None:
    """Nobody has written for a minute: five seconds are ordinary, the rest is an outage."""
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    wait = wait_of(ledger, 5, now_ms=ledger.now_ms + 60_000)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.BUSY: 5_000, Kind.DOWN: 55_000}
    assert wait_of(ledger, 5).until_ms == ledger.now_ms


def test_a_job_that_has_only_just_been_accepted_has_not_waited() -> None:
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=0)
    shown = explained(wait_of(ledger, 5), operator=True)
    assert (shown.wait_ms, shown.causes) == (0, [])
    assert "this very moment" in shown.sentence


def test_each_job_is_judged_by_the_slo_in_force_when_it_was_accepted() -> None:
    ledger = full()
    ledger.submit(5)
    ledger.decide()
    slower = msgspec.structs.replace(
        POLICY, tiers={name: msgspec.structs.replace(t, slo_ms=7) for name, t in POLICY.tiers.items()}
    )
    ledger.decide(inputs.PolicyApplied(slower, fingerprint(slower)))
    assert wait_of(ledger, 5).slo_ms == POLICY.tiers["free"].slo_ms


def test_the_newest_forecast_and_the_word_of_the_choice_are_told() -> None:
    pool = Written()
    pool.write(msgspec.structs.replace(pool.accept(1), start_p50_ms=5, start_p90_ms=9))
    assert pool.wait(1).forecast == (5, 9)
    pool.write(said.StartForecast(job_of(1), 50, 90))
    pool.write(pool.dispatch(1, reason="catch_up"))
    assert pool.wait(1).chosen == ""
    pool.start(1)
    wait = pool.wait(1)
    assert (wait.forecast, wait.chosen) == ((50, 90), "catch_up")


def test_a_job_that_the_ledger_does_not_know_is_said() -> None:
    with pytest.raises(JobUnknown, match="found no acceptance of it"):
        wait_of(lived_in(), 99)
    with pytest.raises(ValueError, match="job of pool main"):
        why("other-" + "0" * 32, past_of(lived_in()))


def test_a_job_that_was_promised_and_not_read_yet_is_on_its_way() -> None:
    """Also while the scheduler is away."""
    ledger = full()
    submitted_ms = ledger.now_ms + 2_000
    promised = Promised("acme", "free", submitted_ms)
    wait = why(job_of(5), past_of(ledger), submitted_ms, submitted_ms + 30, promised)
    check(wait)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 30}
    assert (wait.tenant, wait.tier, wait.outcome, wait.slo_ms) == ("acme", "free", "waiting", 100_000)
    wait = why(job_of(5), past_of(ledger), submitted_ms, submitted_ms + 60_000, promised)
    check(wait)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 3_000, Kind.DOWN: 57_000}


def test_a_job_that_the_views_have_not_heard_of_and_a_snapshot_has() -> None:
    """Whoever was promised it asks with a time of submission by a clock that is ahead: the snapshot is too late."""
    ledger, store = full(), Store()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    store.keep(ledger.state)
    ledger.decide(passed_ms=100)
    promised = Promised("acme", "free", ledger.now_ms)
    wait = why(job_of(5), past_with(ledger, store), ledger.now_ms, 0, promised)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.BUSY: 100}


def test_a_pool_at_rest_that_does_not_read_what_was_promised_is_down() -> None:
    ledger = Ledger()
    ledger.decide(inputs.PolicyApplied(POLICY, fingerprint(POLICY)))
    submitted_ms = ledger.now_ms + 3_600_000
    for later_ms, expected in ((30, {Kind.ON_THE_WAY: 30}), (9_000, {Kind.ON_THE_WAY: 5_000, Kind.DOWN: 4_000})):
        promised = Promised("acme", "free", submitted_ms)
        wait = why(job_of(5), past_of(ledger), submitted_ms, submitted_ms + later_ms, promised)
        check(wait)
        assert ms_of(wait) == expected


# -- who may read what ---------------------------------------------------------------------------------------


def shown_to_owner(wait: Wait) -> Why:
    shown = explained(wait, operator=False)
    text = msgspec.json.encode(shown).decode()
    assert "globex" not in text
    assert "initech" not in text
    assert SECRET not in text
    return shown


def test_an_owner_reads_no_other_tenants_name_and_no_job_of_theirs() -> None:
    pool = Written()
    pool.write(pool.accept(1, tenant="globex"), pool.accept(2, tenant="initech"), pool.accept(4))
    pool.write(pool.accept(3), pool.dispatch(1, 1), pool.dispatch(2, 2))
    pool.write(after_ms=1_000)
    pool.start(1, 2)
    pool.write(*pool.succeed(1, 2), pool.dispatch(4, 2))
    pool.write(after_ms=500)
    pool.write(said.GangReserved(job_of(8), "east", ("n-1",)))
    shown = shown_to_owner(pool.wait(3))
    others = [cause for cause in shown.causes if cause.cause == "outranked" and not cause.tenant]
    assert [(cause.jobs, cause.words) for cause in others] == [(2, "2 jobs of tier free of other tenants went first")]
    own = [cause for cause in shown.causes if cause.tenant == "acme"]
    assert [cause.jobs for cause in own] == [1]
    named = explained(pool.wait(3), operator=True)
    assert {cause.tenant for cause in named.causes if cause.cause == "outranked"} == {"globex", "initech", "acme"}
    assert named.wait_ms == shown.wait_ms


def test_the_job_it_stands_behind_is_named_to_operators_and_to_its_own_tenant() -> None:
    pool = Written()
    pool.write(pool.accept(1, tenant="globex"), pool.accept(2), pool.accept(3), pool.accept(4))
    pool.write(pool.dispatch(1, 0), pool.dispatch(2, 1), pool.dispatch(3, 2))
    pool.start(1, 2)
    pool.write(after_ms=1_000)
    assert [c.job for c in explained(pool.wait(3), operator=True).causes if c.cause == "staged_behind"] == [job_of(1)]
    behind = [cause for cause in shown_to_owner(pool.wait(3)).causes if cause.cause == "staged_behind"]
    assert [(cause.job, cause.tenant) for cause in behind] == [("", "")]
    assert "behind another job" in behind[0].words


# -- damage --------------------------------------------------------------------------------------------------


def test_a_damaged_ledger_is_answered_from_up_to_the_damage() -> None:
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    ledger.decide(passed_ms=1_000)
    bad = len(ledger.records)
    ledger.decide(passed_ms=1_000)
    ledger.edit(bad, b"{}")
    ledger.decide(passed_ms=1_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {Kind.ON_THE_WAY: 10, Kind.BUSY: 1_000}
    assert wait.damage is not None
    assert (wait.damage.offset, wait.damage.trusted_offset) == (bad, bad - 1)
    assert explained(wait, operator=False).damage is not None


def test_damage_before_a_job_was_accepted_leaves_nothing_to_say_of_it() -> None:
    ledger = full()
    ledger.edit(2, b"{}")
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    with pytest.raises(NotBelieved, match=r"damaged at offset 2: .* trusted up to offset 1 "):
        wait_of(ledger, 5)


def test_damage_after_a_job_ended_does_not_concern_it() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    ledger.succeed(1)
    ledger.decide()
    ledger.decide()
    ledger.edit(len(ledger.records) - 1, b"{}")
    assert wait_of(ledger, 1).damage is None


# -- exactly -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_in_simulated_worlds_the_causes_of_every_job_sum_to_its_wait(seed: int) -> None:
    """Outages, takeovers, lost nodes, recalls, drains, changed policies and SLOs: nothing of a wait goes missing. From
    a snapshot the same comes out as from the beginning."""
    world = World(seed)
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    past = Past(POOL, lambda first: iter(records[first:]))
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
    past = Past(POOL, lambda first: iter(records[first:]))

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
    store = {}
    for _, _, data in world.snapshots.stored:
        state = snapshot.decode(data)
        store[key_of(POOL, state.head_offset, state.now_ms, data)] = data
    whole = Past(POOL, lambda first: iter(records[first:]))
    begun: list[int] = []

    def read(first: int) -> Iterator[LedgerRecord]:
        begun.append(first)
        return iter(records[first:])

    shortcut = Past(POOL, read, end=len(records), store=StoreOf(store), names=names_in(store))  # type: ignore[arg-type]
    for job in sorted(world.auditor.book.jobs):
        try:
            expected = why(job, whole)
        except JobUnknown:
            continue
        assert why(job, shortcut, expected.submitted_ms) == expected
    return sum(first > 0 for first in begun)


class StoreOf:
    def __init__(self, objects: dict[str, bytes]) -> None:
        self.get = objects.__getitem__


def dropped(patch: pytest.MonkeyPatch, kind: Kind) -> None:
    """The mutant: one cause is forgotten."""
    add, split = Shares.add, Shares.split

    def add_others(self: Shares, cause: Cause, *rest: Any) -> None:
        if cause.kind is not kind:
            add(self, cause, *rest)

    def split_others(self: Shares, weights: dict[Cause, int], *rest: Any) -> None:
        others = {cause: held for cause, held in weights.items() if cause.kind is not kind}
        if others:
            split(self, others, *rest)

    patch.setattr(Shares, "add", add_others)
    patch.setattr(Shares, "split", split_others)


@pytest.mark.parametrize("kind", Kind)
def test_a_cause_that_is_dropped_is_missed(kind: Kind) -> None:
    """Each kind has a test above that fails without it."""
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
    test_on_its_way_to_the_scheduler,
    test_no_scheduler_while_it_was_queued,
    test_no_node_on_which_it_could_run,
    test_outranked_by_the_jobs_that_were_picked_before_it,
    test_passed_over_for_a_job_whose_version_was_loaded,
    test_a_slot_kept_free_for_a_gang_until_it_is_let_go_of,
    test_a_gang_that_gathers_its_slots,
    test_a_limit_that_keeps_a_slot_empty,
    test_a_cluster_that_drains,
    test_staged_behind_a_running_attempt,
    test_its_version_had_to_be_loaded_and_then_its_order_was_on_its_way,
    test_parked_and_called_back,
    test_an_attempt_that_ran_and_failed_and_the_rest_after_it,
)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20), st.integers(0, 1_000_000))
def test_integers_are_apportioned_exactly(shares: list[int], whole: int) -> None:
    parts = apportioned(dict(enumerate(shares)), whole)
    total = sum(shares)
    assert sum(parts.values()) == (whole if total else 0)
    if total:
        assert all(abs(parts[i] - Fraction(share * whole, total)) < 1 for i, share in enumerate(shares))


@given(st.lists(st.tuples(st.integers(0, 50), st.lists(st.integers(0, 3), min_size=1, max_size=7)), max_size=60))
def test_many_short_stretches_over_many_slots_favour_nobody(stretches: list[tuple[int, list[int]]]) -> None:
    """Each stretch is shorter than there are slots: whole milliseconds a stretch would leave some causes nothing."""
    shares, at_ms = Shares(), 0
    exact: dict[Cause, Fraction] = {}
    for ms, slots in stretches:
        causes = [Cause(Kind.OUTRANKED, tier=str(slot)) for slot in slots]
        weights = {cause: causes.count(cause) for cause in causes}
        shares.split(weights, at_ms, at_ms + ms)
        for cause, weight in weights.items():
            exact[cause] = exact.get(cause, Fraction(0)) + Fraction(ms * weight, len(slots))
        at_ms += ms
    settled = shares.settled()
    assert sum(share.ms for share in settled.values()) == at_ms
    assert all(abs(share.ms - exact[cause]) < 1 for cause, share in settled.items())
