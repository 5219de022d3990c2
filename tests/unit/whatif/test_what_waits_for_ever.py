"""Jobs that wait for an operator, because their version was withdrawn or their pool is on hold: a shadow does with them
what the pool did, and every simulation ends."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from contract import inputs
from contract.events import Event, GangReserved
from scheduling import invariants
from tests.unit.audit.ledger import POLICY, SALT, VERSION, Ledger, job_of
from tests.unit.whatif.followed import Written
from tests.unit.whatif.simulations import arrivals, policy, versions
from whatif.recorded import recorded
from whatif.shadow import first_state
from whatif.simulation import simulation as simulated
from whatif.simulation.machines import standing
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

NEXT = "sha256:" + "b" * 64
CPU = inputs.Requirements(("cpu",), 0)
BATCHES_MAX = 600


def withdrawn_while_a_job_waits() -> Ledger:
    """Job 0 has run; then job 1 waits, and its version is withdrawn."""
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(0)
    ledger.decide()
    ledger.succeed(0)
    ledger.submit(1)
    ledger.decide(inputs.WithdrawRequested("film", VERSION))
    assert ledger.state.shelved
    return ledger


def test_a_job_that_the_pool_pinned_anew_runs_in_a_shadow_with_its_later_version() -> None:
    ledger = withdrawn_while_a_job_waits()
    since_ms = ledger.now_ms
    ledger.decide(
        inputs.VersionPublished("film", NEXT, CPU, 60_000),
        inputs.AliasMoved("film", "live", NEXT, 2),
        passed_ms=30_000,
    )
    ledger.succeed(1)
    written = Written(ledger, POLICY, since_ms=since_ms)
    assert [(job.job, job.version) for job in written.taken] == [(job_of(1), NEXT)]
    assert written.starts[job_of(1)] <= since_ms + 100  # the shadow need not wait for the operator
    assert written.shadow.simulation is not None
    assert (written.shadow.simulation.state.jobs, written.shadow.held) == ({}, 0)
    assert invariants.check(written.shadow.simulation.state) == []


def test_what_was_pinned_anew_before_a_shadow_began_is_not_pinned_again() -> None:
    ledger = withdrawn_while_a_job_waits()
    ledger.decide(inputs.VersionPublished("film", NEXT, CPU, 60_000), inputs.AliasMoved("film", "live", NEXT, 2))
    since_ms = ledger.now_ms
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", staged=(ledger.dispatch_of(1),)))
    ledger.succeed(1)
    written = Written(ledger, POLICY, since_ms=since_ms)
    assert [job.version for job in written.taken] == [NEXT]
    assert list(written.starts) == [job_of(1)]


def test_what_is_called_back_of_a_withdrawn_version_runs_in_a_shadow() -> None:
    """The attempt is open when the shadow begins, so its job cannot be pinned then; the job must not wait for ever."""
    ledger = Ledger()
    ledger.set_up()
    for number in (1, 2, 3):
        ledger.submit(number)
    ledger.decide()
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)), inputs.Started(job_of(2), ledger.dispatch_of(2)))
    ledger.decide(inputs.WithdrawRequested("film", VERSION))
    assert ledger.state.jobs[job_of(3)].open is not None
    since_ms = ledger.now_ms
    ledger.report(inputs.Stopped(job_of(3), ledger.dispatch_of(3), "recalled"))
    ledger.decide(inputs.VersionPublished("film", NEXT, CPU, 60_000), inputs.AliasMoved("film", "live", NEXT, 2))
    ledger.report(*(inputs.Succeeded(job_of(n), ledger.dispatch_of(n), "sha256:" + "e" * 64) for n in (1, 2)))
    ledger.succeed(3)
    written = Written(ledger, POLICY, since_ms=since_ms)
    assert list(written.starts) == [job_of(3)]
    assert written.shadow.held == 0


def test_slots_kept_for_a_gang_are_given_back_when_it_takes_another_version() -> None:
    ledger = Ledger()
    ledger.set_up()
    pair = msgspec.structs.replace(CPU, ranks=2)
    ledger.decide(inputs.VersionPublished("pair", NEXT, pair, 60_000), inputs.AliasMoved("pair", "live", NEXT, 1))
    ledger.submit(1)
    ledger.decide()
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)))
    body = inputs.Submission(job_of(2), "acme", "free", "pair", "sha256:" + "0" * 64, "api")
    events = ledger.decide(inputs.JobSubmitted(body, msgspec.Raw(b"{}"), SALT))
    assert any(isinstance(event, GangReserved) for event in events)
    single = "sha256:" + "c" * 64
    first = first_state.copied(ledger.state)
    first_state.pin(first, {job_of(2): single}, {single: inputs.VersionPublished("pair", single, CPU, 60_000)})
    assert (first.reserved, invariants.check(first)) == ({}, [])  # nobody keeps slots for one job alone
    since_ms = ledger.now_ms
    ledger.decide(
        inputs.VersionPublished("pair", single, CPU, 60_000),
        inputs.AliasMoved("pair", "live", single, 2),
        inputs.WithdrawRequested("pair", NEXT),
    )
    ledger.decide()
    ledger.succeed(2)
    ledger.report(inputs.Succeeded(job_of(1), ledger.dispatch_of(1), "sha256:" + "e" * 64))
    written = Written(ledger, POLICY, since_ms=since_ms)
    assert written.starts[job_of(2)] <= since_ms + 100
    assert written.shadow.simulation is not None
    assert invariants.check(written.shadow.simulation.state) == []


def test_a_job_that_waits_for_a_version_beyond_the_bound_is_left_out() -> None:
    ledger = withdrawn_while_a_job_waits()
    for _ in range(12):
        ledger.decide(inputs.NodeHeartbeat("n1", "n1.a"), passed_ms=10_000)
    written = Written(ledger, POLICY, behind_ms=60_000)
    assert written.last.left_out == {"waits for a version": 1}
    assert [job.job for job in written.taken] == [job_of(0)]
    begun = Written(ledger, POLICY, since_ms=ledger.batch(6).now_ms, behind_ms=60_000)
    assert begun.shadow.simulation is not None
    assert begun.shadow.simulation.state.jobs == {}


def test_a_job_that_ended_with_its_version_is_left_out_by_that_name() -> None:
    ledger = withdrawn_while_a_job_waits()
    body = inputs.Submission(job_of(2), "acme", "free", f"film@{NEXT}", "sha256:" + "0" * 64, "api")
    ledger.decide(
        inputs.VersionPublished("film", NEXT, CPU, 60_000),
        inputs.JobSubmitted(body, msgspec.Raw(b"{}"), SALT),
        inputs.WithdrawRequested("film", NEXT),
    )
    left_out = recorded(ledger.past).left_out
    assert left_out == {"ended with a withdrawn version": 1, "waits or runs still": 1}


def ended(jobs: list[tuple[int, str, int]], hold_ms: int) -> Simulation:
    """A simulation of a pool that is put on hold and never released. AssertionError when the simulation spins."""
    batches = []

    def observe(now_ms: int, _: Sequence[Event]) -> None:
        batches.append(now_ms)
        assert len(batches) < BATCHES_MAX, f"expected an end, found ticks without one at {now_ms} ms"

    held = [(hold_ms, inputs.HoldRequested())]
    rules, fleet = policy({"api": 60_000}), standing("east", 1)
    return Simulation(rules, versions("film"), arrivals(jobs), fleet, said=held, observer=observe).run()


def test_a_pool_that_stays_on_hold_ends_with_its_jobs_open() -> None:
    """New forecasts for jobs that wait are no reason to go on."""
    simulation = ended([(500 * place, "api", 1_000) for place in range(200)], hold_ms=50_000)
    assert len(simulation.state.jobs) == simulation.queued > 100
    assert sum(start_ms >= 0 for start_ms in simulation.site.start_ms) + simulation.queued == 200
    assert len(simulation.state.forecasts) > 100


def test_what_was_stopped_is_not_waited_for() -> None:
    """Job 1 runs when the shadow begins, and is cancelled; job 2 is staged when the pool is put on hold for ever, and
    was started sooner in the pool."""
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)))
    since_ms = ledger.now_ms
    ledger.submit(2)
    ledger.decide(inputs.CancelRequested(job_of(1)), passed_ms=10_000)
    ledger.report(inputs.Stopped(job_of(1), ledger.dispatch_of(1), "killed"))
    ledger.report(inputs.Started(job_of(2), ledger.dispatch_of(2)))
    ledger.decide(inputs.HoldRequested())
    ledger.report(inputs.Succeeded(job_of(2), ledger.dispatch_of(2), "sha256:" + "e" * 64))
    written = Written(ledger, POLICY, since_ms=since_ms, costs=Costs(fetch_ms=60_000))
    assert written.shadow.simulation is not None
    assert list(written.shadow.simulation.state.jobs) == [job_of(2)]
    assert (written.starts, written.shadow.held) == ({}, 1)
    assert written.shadow.now_ms < ledger.now_ms + 3_600_000


def test_waiting_beside_an_attempt_that_runs_for_years_costs_few_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "RARE_TICKS_AFTER", 200)
    simulation = ended([(0, "api", 1 << 39), (1_000, "api", 1_000)], hold_ms=500)
    assert simulation.site.end_ms[0] >= 1 << 39
    assert len(simulation.state.jobs) == 1
