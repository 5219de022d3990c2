"""A whole wait: where it begins and ends, what is told with it, and what of it a damaged ledger can tell."""

from __future__ import annotations

import msgspec
import pytest

from audit.ledger.damage import NotBelieved
from audit.ledger.reader import JobUnknown
from audit.waits.causes import CauseGroup
from audit.waits.sentences import explained
from audit.waits.wait import Promised
from audit.waits.why import why
from contract import events as said
from contract import inputs
from contract.policy import fingerprint
from tests.unit.audit.ledger import POLICY, Ledger, job_of, lived_in
from tests.unit.audit.pasts import Store
from tests.unit.audit.pasts import past_of as past_with
from tests.unit.audit.waits import Written, alone, behind, check, full, ms_of, started, wait_of


def test_a_run_belongs_to_the_wait_only_when_the_job_had_to_go_again() -> None:
    ledger = alone()
    ledger.succeed(1)
    wait = wait_of(ledger, 1)
    assert CauseGroup.RAN not in ms_of(wait)
    assert wait.outcome == "started"


def test_a_job_that_was_cancelled_while_it_waited_never_started() -> None:
    ledger = behind()
    ledger.decide(inputs.CancelRequested(job_of(5), "acme"), passed_ms=700)
    ledger.decide(passed_ms=5_000)
    wait = wait_of(ledger, 5)
    assert (wait.outcome, wait.until_ms - wait.submitted_ms) == ("ended", 710)
    assert "never started; it waited 710 ms" in explained(wait, operator=False).sentence


def test_a_job_that_was_cancelled_after_a_failed_run_waited_for_a_second_start() -> None:
    ledger = alone()
    started(ledger, 1)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(inputs.CancelRequested(job_of(1), "acme"), passed_ms=500)
    wait = wait_of(ledger, 1)
    assert (wait.outcome, wait.until_ms) == ("ended", ledger.now_ms)
    assert {CauseGroup.RAN, CauseGroup.BACKOFF} <= set(ms_of(wait))


def test_a_wait_goes_on_after_the_ledgers_last_record() -> None:
    """Nobody has written for a minute: 5 s are ordinary, the rest is an outage."""
    ledger = behind()
    wait = wait_of(ledger, 5, now_ms=ledger.now_ms + 60_000)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.BUSY: 5_000, CauseGroup.DOWN: 55_000}
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
        why("other-" + "0" * 32, lived_in().past)


def test_a_job_that_was_promised_and_not_read_yet_is_on_its_way() -> None:
    """This holds while the scheduler is away, too."""
    ledger = full()
    submitted_ms = ledger.now_ms + 2_000
    promised = Promised("acme", "free", submitted_ms)
    wait = why(job_of(5), ledger.past, submitted_ms, submitted_ms + 30, promised)
    check(wait)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 30}
    assert (wait.tenant, wait.tier, wait.outcome, wait.slo_ms) == ("acme", "free", "waiting", 100_000)
    wait = why(job_of(5), ledger.past, submitted_ms, submitted_ms + 60_000, promised)
    check(wait)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 3_000, CauseGroup.DOWN: 57_000}


def test_a_job_that_the_views_have_not_heard_of_and_a_snapshot_has() -> None:
    """The question names a time of submission by a clock that is ahead, so the chosen snapshot is too late."""
    ledger, store = full(), Store()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    store.keep(ledger.state)
    ledger.decide(passed_ms=100)
    promised = Promised("acme", "free", ledger.now_ms)
    wait = why(job_of(5), past_with(ledger, store), ledger.now_ms, 0, promised)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.BUSY: 100}


def test_a_pool_at_rest_that_does_not_read_what_was_promised_is_down() -> None:
    ledger = Ledger()
    ledger.decide(inputs.PolicyApplied(POLICY, fingerprint(POLICY)))
    submitted_ms = ledger.now_ms + 3_600_000
    for later_ms, expected in (
        (30, {CauseGroup.ON_THE_WAY: 30}),
        (9_000, {CauseGroup.ON_THE_WAY: 5_000, CauseGroup.DOWN: 4_000}),
    ):
        promised = Promised("acme", "free", submitted_ms)
        wait = why(job_of(5), ledger.past, submitted_ms, submitted_ms + later_ms, promised)
        check(wait)
        assert ms_of(wait) == expected


# -- damage --------------------------------------------------------------------------------------------------


def test_a_damaged_ledger_is_answered_from_up_to_the_damage() -> None:
    ledger = behind()
    ledger.decide(passed_ms=1_000)
    bad = len(ledger.records)
    ledger.decide(passed_ms=1_000)
    ledger.edit(bad, b"{}")
    ledger.decide(passed_ms=1_000)
    wait = wait_of(ledger, 5)
    assert ms_of(wait) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.BUSY: 1_000}
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
    ledger = alone()
    ledger.succeed(1)
    ledger.decide()
    ledger.decide()
    ledger.edit(len(ledger.records) - 1, b"{}")
    assert wait_of(ledger, 1).damage is None
