"""An id that comes again after it was forgotten is another life of the job: every auditor takes it, and holds it to
what holds of each life."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import msgspec
import pytest

from audit.as_of import as_of
from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobUnknown, LedgerRecord
from audit.story import render as told
from audit.story import story
from audit.verify.second_book import SecondBook
from audit.verify.verdict import render
from audit.verify.verification import Witnesses
from audit.waits.slo import attainment
from audit.waits.starts import starts
from audit.waits.why import why
from contract import events as said
from contract import inputs
from contract.batch import hash_of
from contract.names import payload_digest
from contract.policy import fingerprint
from contract.snapshot_names import key_of, names_in
from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import initial_state
from tests.unit.audit.ledger import POLICY, POOL, SALT, START_MS, Ledger, job_of
from tests.unit.audit.verdicts import verified
from tests.unit.audit.waits import check
from whatif.recorded import recorded
from whatif.shadow.shadow import Shadow

AGE_MS = POLICY.submission_age_max_ms + 60_000
JOB = job_of(1)


def live(ledger: Ledger, waits_ms: int) -> None:
    """A life in which the job starts after so long."""
    ledger.submit(1)
    ledger.decide()
    dispatch = ledger.dispatch_of(1)
    ledger.decide(passed_ms=waits_ms, elapsed_ms=0)
    ledger.report(inputs.Started(JOB, dispatch))
    ledger.decide(passed_ms=2_000, elapsed_ms=0)
    ledger.report(inputs.Succeeded(JOB, dispatch, "sha256:" + "e" * 64))


def lived_twice(first_ms: int = 30_000, second_ms: int = 7_000) -> Ledger:
    ledger = Ledger()
    ledger.set_up()
    live(ledger, first_ms)
    ledger.decide(passed_ms=AGE_MS, elapsed_ms=0)
    live(ledger, second_ms)
    assert sum(isinstance(event, said.JobAccepted) for event in events_of(ledger)) == 2
    return ledger


def events_of(ledger: Ledger) -> list[said.Event]:
    return [event for offset in range(len(ledger.records)) for event in ledger.batch(offset).events]


def test_verify_is_clean_and_counts_each_life() -> None:
    ledger = lived_twice()
    verdict = verified(ledger, Witnesses(acknowledged=[JOB]))
    assert verdict.clean, render(verdict)
    assert (verdict.jobs, verdict.jobs_open) == (2, 0)


def test_a_promise_of_a_job_that_was_forgotten_since_is_kept() -> None:
    ledger = lived_twice()
    ledger.decide(passed_ms=2 * AGE_MS, elapsed_ms=0)
    ledger.decide()
    assert JOB not in ledger.state.ended
    assert verified(ledger, Witnesses(acknowledged=[JOB])).clean
    lost = verified(ledger, Witnesses(acknowledged=[JOB, job_of(2)])).findings
    assert [(finding.invariant, finding.job) for finding in lost] == [("I1", job_of(2))]


@pytest.mark.parametrize("too_soon_ms", [1, 60_000, POLICY.submission_age_max_ms])
def test_a_life_that_begins_too_soon_is_found(too_soon_ms: int) -> None:
    """Whoever decided it had forgotten the id before it may be forgotten."""
    ledger = Ledger()
    ledger.set_up()
    live(ledger, 0)
    accepted = next(event for event in events_of(ledger) if isinstance(event, said.JobAccepted))
    at = len(ledger.records)
    minute_ends_ms = ledger.now_ms - ledger.now_ms % 60_000 + 60_000
    passed_ms = minute_ends_ms + POLICY.submission_age_max_ms - too_soon_ms - ledger.now_ms
    ledger.decide(passed_ms=passed_ms, elapsed_ms=0)
    ledger.rewrite(at, msgspec.structs.replace(ledger.batch(at), events=(accepted,)))
    findings = verified(ledger).findings
    assert (findings[0].offset, findings[0].invariant, findings[0].job) == (at, "I2", JOB)
    assert findings[0].text == "JobAccepted of a job that the ledger knows already"


def test_the_second_book_forgets_what_the_scheduler_does() -> None:
    """At the same record, by the minute, a bounded number a batch, by the policy in force until then."""
    ledger, book, state = Ledger(), SecondBook(), initial_state(POOL)
    shorter = msgspec.structs.replace(POLICY, submission_age_max_ms=90_000)
    ledger.set_up()
    ledger.decide(inputs.PolicyApplied(shorter, fingerprint(shorter)))
    numbers = iter(range(9_999))
    for step in range(30):
        for part in range(22 if step == 5 else 1):
            cancels = []
            for number in islice(numbers, 100 if step == 5 else 4):
                ledger.submit(number)
                cancels.append(inputs.CancelRequested(job_of(number)))
            ledger.decide(*cancels, passed_ms=0 if part else 17_000, elapsed_ms=0)
        if step == 20:
            ledger.decide(inputs.PolicyApplied(POLICY, fingerprint(POLICY)))
    held = []
    for offset in range(len(ledger.records)):
        batch = ledger.batch(offset)
        assert not book.take(offset, batch)
        fold(state, batch, "", offset)
        assert list(book.ended) == list(state.ended), offset
        held.append(len(book.ended))
    fewer = [before - after for before, after in pairwise(held) if before > after]
    assert max(fewer) == 2_000 - 4, "2,000 a batch"
    assert len(fewer) > 3
    assert held[-1] > held[-2] > held[-3], "by the longer age nothing is forgotten yet"


def test_each_result_is_looked_up() -> None:
    ledger = lived_twice()
    dispatches = [event.dispatch for event in events_of(ledger) if isinstance(event, said.JobSucceeded)]
    findings = verified(ledger, Witnesses(store=Nothing())).findings
    assert [finding.invariant for finding in findings] == ["I8", "I8"]
    assert all(dispatch in finding.text for dispatch, finding in zip(dispatches, findings, strict=True))


class Nothing:
    """An object store that has lost everything."""

    def get(self, key: str) -> bytes:
        raise KeyError(key)

    def exists(self, key: str) -> bool:
        return False


# -- what is told ---------------------------------------------------------------------------------------------------


def test_the_story_tells_every_life_and_sums_up_the_newest() -> None:
    lines = told(story(JOB, lived_twice().source)).splitlines()
    accepted = [line for line in lines if "accepted in tier" in line]
    assert len(accepted) == 2
    assert accepted[1].endswith("; life 2 of this id, which was forgotten after the one before")
    assert "life" not in accepted[0]
    assert lines[-1] == "  It succeeded after 9.3 s: queued 100 ms, running 2.1 s, 1 attempt (life 2 of this id)."


def test_the_wait_is_that_of_the_newest_life() -> None:
    ledger = lived_twice(30_000, 7_000)
    wait = why(JOB, ledger.past)
    check(wait)
    assert wait.until_ms - wait.submitted_ms == 7_200
    newest_ms = wait.submitted_ms
    assert why(JOB, ledger.past, newest_ms) == wait
    first = why(JOB, ledger.past, 1)
    check(first)
    assert first.until_ms - first.submitted_ms == 30_200, "the life that was submitted then"


def test_the_wait_of_a_new_life_is_read_from_a_snapshot_that_remembers_the_old_one() -> None:
    ledger = Ledger()
    ledger.set_up()
    live(ledger, 30_000)
    assert JOB in ledger.state.ended
    data = snapshot.encode(ledger.state)
    store = KeptStore({key_of(POOL, ledger.state.head_offset, ledger.now_ms, data): data})
    ledger.decide(passed_ms=AGE_MS, elapsed_ms=0)
    live(ledger, 7_000)
    begun: list[int] = []

    def read(first: int) -> Iterator[LedgerRecord]:
        begun.append(first)
        return iter(ledger.records[first:])

    past = LedgerPast(POOL, read, end=len(ledger.records), store=store, names=names_in(store.objects))  # type: ignore[arg-type]
    expected = why(JOB, ledger.past)
    assert why(JOB, past, expected.submitted_ms) == expected
    assert min(begun) > 0, "the ledger was not read from its beginning"


class KeptStore:
    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get(self, key: str) -> bytes:
        return self.objects[key]


def test_a_new_life_that_is_refused_never_waited() -> None:
    ledger = Ledger()
    ledger.set_up()
    live(ledger, 0)
    ledger.decide(passed_ms=AGE_MS, elapsed_ms=0)
    ledger.submit(1, tier="gone")
    assert [type(event) for event in ledger.decide()] == [said.JobRefused]
    with pytest.raises(JobUnknown):
        why(JOB, ledger.past)
    assert told(story(JOB, ledger.source)).splitlines()[-1] == "  It was refused."


def test_an_outage_between_two_lives_is_known_of_the_second() -> None:
    """It lay in `jobs` while no scheduler led the pool."""
    ledger = Ledger()
    ledger.set_up()
    live(ledger, 0)
    ledger.decide(passed_ms=AGE_MS, elapsed_ms=0)
    ledger.submit(1)
    ledger.now_ms += 40_000
    ledger.open("s2")
    ledger.decide()
    wait = why(JOB, ledger.past)
    check(wait)
    assert {cause.group.value for cause, share in wait.shares.items() if share.ms} >= {"down"}


def test_each_life_has_its_start_and_its_slo() -> None:
    ledger = lived_twice(200_000, 7_000)
    everything, *_ = attainment(starts(ledger.past), "tier")
    assert (everything.jobs, everything.kept, everything.missed) == (2, 1, 1)


def test_each_life_is_simulated_again() -> None:
    found = recorded(lived_twice().past)
    assert len(found.arrivals) == 2
    assert len(set(found.arrivals.jobs)) == 2
    assert found.left_out == {}
    assert [end - start for start, end in zip(found.start_ms, found.end_ms, strict=True)] == [2_100, 2_100]


def test_a_shadow_goes_on_whatever_lives_again() -> None:
    """Also behind a job that is not over yet, where both lives wait to be taken in."""
    brief = msgspec.structs.replace(POLICY, submission_age_max_ms=1)
    ledger, state = Ledger(), initial_state(POOL)
    ledger.set_up()
    ledger.decide(inputs.PolicyApplied(brief, fingerprint(brief)))
    ledger.submit(9)
    ledger.decide()
    ledger.report(inputs.Started(job_of(9), ledger.dispatch_of(9)))
    for _ in range(3):
        live(ledger, 1_000)
        ledger.decide(passed_ms=61_000, elapsed_ms=0)
    ledger.report(inputs.Succeeded(job_of(9), ledger.dispatch_of(9), "sha256:" + "e" * 64))
    shadow = Shadow(brief, state, Silent())  # type: ignore[arg-type]
    for offset in range(len(ledger.records)):
        fold(state, ledger.batch(offset), "", offset)
        shadow.take(ledger.batch(offset), offset, state)
    shadow.finish("over")
    assert state.jobs == {}


class Silent:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def test_the_state_at_a_moment_of_either_life() -> None:
    ledger = lived_twice()
    middle_ms = START_MS + 5_000
    assert [tier.staged for tier in as_of(ledger.past, middle_ms, ledger.now_ms).tiers] == [0, 1]
    assert as_of(ledger.past, ledger.now_ms, ledger.now_ms).ended == 1


# -- times that no calendar has -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_ms", [10**15, 2**63, -(2**70), 10**4298])
def test_whatever_a_ledger_holds_as_a_time_is_told(at_ms: int) -> None:
    """Case X-expires: `audit story` ended in an error of the calendar's."""
    ledger = Ledger()
    ledger.set_up()
    body = inputs.Submission(JOB, "acme", "free", "film", payload_digest(SALT, b"{}"), "api", expires_ms=at_ms)
    ledger.say(inputs.JobSubmitted(body, msgspec.Raw(b"{}"), SALT))
    ledger.decide()
    text = told(story(JOB, ledger.source))
    assert "which no calendar has" in text or at_ms < 0
    verdict = verified(ledger)
    assert verdict.clean, render(verdict)


def test_a_record_that_cannot_be_judged_is_found_and_the_state_is_that_before() -> None:
    """Whatever goes wrong over an edited record is a finding with its place, and never an error of ours."""
    ledger = lived_twice()
    at = next(at for at in range(len(ledger.records)) if any(_is(ledger, at, said.AttemptStarted)))
    edited = msgspec.structs.replace(ledger.batch(at), events=(said.NodeHeard("nobody", "s"),), now_ms=10**4299)
    ledger.rewrite(at, edited)
    verdict = verified(ledger)
    assert not verdict.clean
    assert verdict.trusted_offset < at
    before = initial_state(POOL)
    for offset in range(at):
        fold(before, ledger.batch(offset), hash_of(ledger.records[offset].value), offset)
    assert (verdict.head_seq, verdict.state_hash) == (before.seq, snapshot.state_hash(before))


def _is(ledger: Ledger, at: int, kind: type) -> list[bool]:
    return [isinstance(event, kind) for event in ledger.batch(at).events]
