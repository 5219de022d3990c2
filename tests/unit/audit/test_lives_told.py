"""An id that comes again after it was forgotten is another life of the job: each reader tells every life."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest

from audit.as_of import as_of
from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobUnknown, LedgerRecord
from audit.story import render as told
from audit.story import story
from audit.waits.slo import attainment
from audit.waits.starts import starts
from audit.waits.why import why
from contract import events as said
from contract import inputs
from contract.policy import fingerprint
from contract.snapshot_names import key_of, names_in
from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import initial_state
from tests.unit.audit.ledger import POLICY, POOL, START_MS, Ledger, job_of
from tests.unit.audit.lives import AGE_MS, JOB, live, lived_twice
from tests.unit.audit.waits import check
from whatif.recorded import recorded
from whatif.shadow.shadow import Shadow


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

    def get(self, key: str, bytes_max: int) -> bytes:
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
    """The second submission lay in `jobs` while no scheduler led the pool."""
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
    """Also behind a job that is still open, where both lives wait to be taken in."""
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
