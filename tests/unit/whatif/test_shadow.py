"""A candidate policy beside the policy in force: what it would have done, by the shadow's records alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from contract import inputs
from contract.events import JobDispatched
from contract.policy import Policy, Tier, fingerprint
from tests.unit.audit.ledger import POLICY, POOL, SALT, START_MS, VERSION, Ledger, job_of, lived_in
from tests.unit.whatif.followed import SWAPPED, Written
from tests.unit.whatif.played import NOTHING, busy, order_of, played
from whatif.compare import CHANGED, Changes, NotComparable, of_ledger
from whatif.recorded import recorded
from whatif.shadow.log import ShadowLog
from whatif.shadow.shadow import Shadow
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation


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


def long_ledger() -> Ledger:
    """Three jobs every ten seconds for ten minutes, on two slots that have room for them."""
    submissions = {
        10_000 * place: [(3 * place + k, ("api", "free")[k % 2]) for k in range(3)] for place in range(1, 60)
    }
    return played(submissions, lambda number: 4_000 + 370 * (number % 7), 620_000)


def test_with_the_policy_in_force_it_does_what_the_pool_did() -> None:
    """From the middle of a busy ledger: what runs and waits there is taken over."""
    ledger = busy()
    middle = ledger.batch(len(ledger.records) // 4)
    written = Written(ledger, POLICY, since_ms=middle.now_ms)
    before = [entry for entry in order_of(ledger) if entry in {job.job for job in written.taken}]
    assert 3 < len(before) < 12
    assert [entry.job for entry in written.dispatched] == [
        job for job in order_of(ledger) if job in {entry.job for entry in written.dispatched}
    ]
    apart = [abs(written.starts[job.job] - job.live_start_ms) for job in written.taken]
    assert max(apart) <= 1_500  # the pool of this ledger goes in steps of 100 ms, which add up along a slot
    assert written.last.left_out == {}


def test_it_follows_a_bounded_time_behind_and_holds_only_what_is_open() -> None:
    ledger = long_ledger()
    written = Written(ledger, POLICY)
    assert len(recorded(ledger.past).arrivals) == len(written.starts) == 177
    assert max(written.behind_ms[400:]) < 45_000
    assert max(written.held) < 20
    early = [step for step in written.steps if step.live_ms < START_MS + 300_000]
    assert sum(len(step.started) for step in early) > 60  # written while the ledger grows, not at its end


def test_its_clock_waits_for_a_job_that_is_open_and_goes_on_at_the_bound() -> None:
    """Job 1 runs for five minutes; the others are short."""
    submissions = {200: [(1, "free")]} | {1_000 * place: [(place, "free")] for place in range(2, 300)}
    ledger = played(submissions, lambda number: 300_000 if number == 1 else 500, 400_000)
    patient = Written(ledger, POLICY)
    assert [job.run_ms for job in patient.taken[:1]] == [300_000]
    assert not any(job.assumed for job in patient.taken)
    hasty = Written(ledger, POLICY, behind_ms=60_000)
    assumed = [job for job in hasty.taken if job.assumed]
    assert [job.job for job in assumed] == [job_of(1)]
    assert 50_000 < assumed[0].run_ms < 80_000  # as long as it had run when the bound was reached
    assert max(patient.behind_ms[400:]) > 280_000
    assert max(hasty.behind_ms[400:]) < 75_000
    assert (patient.shadow.held, hasty.shadow.held) == (0, 0)


def test_a_job_without_a_known_run_time_is_left_out_at_the_bound() -> None:
    ledger = played({200: [(1, "free")]}, lambda number: 900_000, 200_000)
    written = Written(ledger, POLICY, behind_ms=60_000)
    assert written.taken == []
    assert written.last.left_out == {"no run time known": 1}


def test_a_job_taken_in_before_it_started_is_told_when_it_does() -> None:
    """The first run of the version is known; then one job keeps both slots' lines waiting past the bound."""
    submissions = {200: [(1, "free")], 5_000: [(2, "free"), (3, "free"), (4, "free")]}
    ledger = played(submissions, lambda number: 1_000 if number == 1 else 100_000, 300_000)
    written = Written(ledger, POLICY, behind_ms=30_000)
    late = next(job for job in written.taken if job.job == job_of(4))
    assert (late.live_start_ms, late.assumed) == (-1, True)
    assert written.live_starts[job_of(4)] > late.submitted_ms + 99_000


def test_jobs_open_at_its_beginning_without_a_result_do_not_hold_their_slots() -> None:
    ledger = Ledger()
    ledger.set_up()
    for number in (1, 2, 3):
        ledger.submit(number)
    ledger.decide()
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)), inputs.Started(job_of(2), ledger.dispatch_of(2)))
    since_ms = ledger.now_ms
    ledger.decide(inputs.CancelRequested(job_of(1)), passed_ms=30_000)
    ledger.report(inputs.Stopped(job_of(1), ledger.dispatch_of(1), "killed"))
    ledger.succeed(3)
    ledger.report(inputs.Succeeded(job_of(2), ledger.dispatch_of(2), "sha256:" + "e" * 64))
    written = Written(ledger, POLICY, since_ms=since_ms)
    assert written.last.left_out == {"cancelled": 1}
    assert [job.job for job in written.taken] == [job_of(3)]  # the second one had started before
    assert written.starts[job_of(3)] <= since_ms + 100  # at once, in the slot of the first


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (msgspec.structs.replace(POLICY, tiers={"api": Tier(1_000)}), "found none called free"),
        (msgspec.structs.replace(POLICY, pools={}), "expected pool main in the policy"),
    ],
)
def test_a_candidate_that_does_not_go_with_the_pool_is_refused_before_anything_is_written(
    policy: Policy, said: str
) -> None:
    ledger = busy()
    with pytest.raises(NotComparable, match=said):
        Written(ledger, policy, since_ms=ledger.now_ms)


def test_what_cannot_be_believed_is_not_followed() -> None:
    ledger = busy()
    middle = len(ledger.records) // 4
    ledger.edit(middle, ledger.records[middle].value.replace(b'"caught_up":true', b'"caught_up":false'))
    written = Written(ledger, POLICY)
    assert written.damage is not None
    assert written.damage.offset == middle + 1
    assert written.last.offset == middle - 1
    assert 0 < len(written.taken) < 12


def test_it_does_not_wait_longer_than_its_bound_to_begin() -> None:
    """Job 1 runs when it begins, and for ten minutes more."""
    submissions = {200: [(1, "free")]} | {5_000 * place: [(place, "free")] for place in range(1, 60)}
    ledger = played(submissions, lambda number: 600_000 if number == 1 else 1_000, 300_000)
    since_ms = ledger.batch(len(ledger.records) // 10).now_ms
    written = Written(ledger, POLICY, since_ms=since_ms, behind_ms=60_000)
    begun = [step for step in written.steps if step.dispatched]
    assert begun[0].live_ms < since_ms + 90_000
    assert max(written.behind_ms) < 75_000


def test_while_the_scheduler_has_not_read_all_its_clock_stands() -> None:
    ledger = busy()
    shadow = Shadow(POLICY, ledger.state, ShadowLog("candidate", "run", POOL, lambda _: None, lambda: True))
    last = ledger.batch(len(ledger.records) - 1)
    beat = inputs.NodeHeartbeat("n1", "n1.a")
    read = inputs.Input(10_000, last.now_ms + 5_000, beat)
    later = msgspec.structs.replace(last, now_ms=last.now_ms + 60_000, inputs=(read,), events=(), caught_up=False)
    ledger.state.now_ms = later.now_ms
    shadow.take(later, 900, ledger.state)
    assert shadow.now_ms == last.now_ms + 5_000  # what was said after that may not have been read
    later = msgspec.structs.replace(later, now_ms=later.now_ms + 1_000, caught_up=True)
    shadow.take(later, 901, ledger.state)
    assert shadow.now_ms == later.now_ms - 10_000


def test_what_is_loaded_when_it_begins_need_not_be_loaded_again() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    ledger.succeed(1)
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", loaded=(VERSION,), cached=(VERSION,)))
    since_ms = ledger.now_ms
    ledger.submit(2)
    ledger.decide()
    ledger.succeed(2)
    written = Written(ledger, POLICY, since_ms=since_ms, costs=Costs(switch_ms=5_000))
    assert written.shadow.simulation is not None
    assert written.shadow.simulation.site.switches == 0
    assert list(written.starts) == [job_of(2)]


def test_a_trial_of_the_policy_in_force_is_none_of_the_candidates() -> None:
    """Every start is late: the pool goes back to the policy before, the candidate stays in the shadow."""
    ledger = busy()
    hard = msgspec.structs.replace(POLICY, tiers={"api": Tier(1), "free": Tier(1)})
    ledger.decide(inputs.PolicyApplied(hard, fingerprint(hard), 1_000, 2))
    since_ms = ledger.now_ms
    for number in (101, 102):
        ledger.submit(number)
        ledger.decide()
        ledger.succeed(number)
    assert ledger.state.fingerprint == fingerprint(POLICY)
    written = Written(ledger, hard, since_ms=since_ms)
    assert written.shadow.simulation is not None
    assert written.shadow.simulation.state.fingerprint == fingerprint(hard)


def test_a_gang_that_runs_when_it_begins_holds_all_its_slots() -> None:
    ledger = Ledger()
    ledger.set_up()
    pair = "sha256:" + "b" * 64
    ledger.decide(inputs.VersionPublished("pair", pair, inputs.Requirements(("cpu",), 0, ranks=2), 60_000))
    body = inputs.Submission(job_of(1), "acme", "free", f"pair@{pair}", "sha256:" + "0" * 64, "api")
    ledger.decide(inputs.JobSubmitted(body, msgspec.Raw(b"{}"), SALT))
    gang = ledger.dispatch_of(1)
    ledger.report(inputs.Started(job_of(1), gang))
    since_ms = ledger.now_ms
    ledger.submit(2)
    ledger.decide()
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", (gang,)), passed_ms=30_000)
    ledger.report(inputs.Succeeded(job_of(1), gang, "sha256:" + "e" * 64))
    ended_ms = ledger.now_ms
    ledger.succeed(2)
    written = Written(ledger, POLICY, since_ms=since_ms)
    assert written.shadow.simulation is not None
    assert written.starts == {job_of(2): ended_ms}
    assert written.shadow.simulation.site.nodes["n1"].free == 2
