"""Prepared media go when an event of the ledger says that nobody needs them, and no sooner."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contract import events as e
from contract.batch import Batch
from contract.inputs import Input, NodeReport
from contract.preparation_reports import PreparationDone, PreparationRefused, PreparationReport
from contract.prepared import preparation_prefix
from operations.inputs_sweep import InputsSweep, InputsSwept
from operations.result_sweep import REST_MS
from tests.twin.object_store import TwinObjectStore

JOB, OTHER, ELSEWHERE = "main-" + "0" * 32, "main-" + "f" * 32, "far-" + "0" * 32
NAMES = ("0.npy", "manifest.json", "source-0", "refusal.txt")
FIRST, SECOND = "1.1.0", "1.2.0"
LATE_MS = 10_000_000


def ordered(preparation: str, job: str = JOB) -> e.PreparationOrdered:
    return e.PreparationOrdered(job, preparation, "w1", "s1", "cpus", 0, 1, 1, 1)


def prepared(preparation: str, job: str = JOB) -> e.InputsPrepared:
    return e.InputsPrepared(job, preparation, "sha256:")


def batch(now_ms: int, *events: e.Event, reports: Sequence[PreparationReport] = ()) -> Batch:
    given = (Input(0, now_ms, NodeReport("w1", "s1", tuple(reports))),) if reports else ()
    return Batch("main", 1, 0, "", now_ms, 0, True, 0, given, events)


@pytest.fixture
def store() -> TwinObjectStore:
    store = TwinObjectStore()
    for job, preparation in ((JOB, FIRST), (JOB, SECOND), (OTHER, "1.3.0"), (ELSEWHERE, FIRST)):
        for name in NAMES:
            store.place(preparation_prefix(job, preparation) + name, b"")
    return store


def swept(store: TwinObjectStore, now_ms: int, *batches: Batch) -> InputsSwept:
    sweep = InputsSweep(store, "main")
    assert len(list(sweep.watching(batches))) == len(batches)
    return sweep.remove(now_ms)


def left(store: TwinObjectStore, preparation: str, job: str = JOB) -> set[str]:
    prefix = preparation_prefix(job, preparation)
    return {key.removeprefix(prefix) for key in store.objects if key.startswith(prefix)}


BEGUN = (
    batch(0, ordered(FIRST), ordered("1.3.0", OTHER)),
    batch(1, e.PreparationClosed(JOB, FIRST, "lost", counts=True), ordered(SECOND)),
    batch(2, prepared(SECOND), prepared("1.3.0", OTHER)),
)


def test_a_preparation_that_came_to_nothing_goes_a_lease_later_and_what_counts_or_is_open_stays(
    store: TwinObjectStore,
) -> None:
    assert swept(store, REST_MS, *BEGUN) == InputsSwept(0, 0), "a lease has not passed"
    assert swept(store, LATE_MS, *BEGUN) == InputsSwept(1, len(NAMES))
    assert left(store, FIRST) == set()
    assert left(store, SECOND) == left(store, "1.3.0", OTHER) == left(store, FIRST, ELSEWHERE) == set(NAMES)


def test_what_no_event_names_stays_for_ever(store: TwinObjectStore) -> None:
    assert swept(store, LATE_MS) == InputsSwept(0, 0)
    assert swept(store, LATE_MS, batch(0, ordered(FIRST))) == InputsSwept(0, 0)


@pytest.mark.parametrize(
    "ending",
    [
        e.JobSucceeded(JOB, "1.9.0", "sha256:"),
        e.JobCancelled(JOB, "cancel"),
        e.JobExpired(JOB),
        e.JobDeadLettered(JOB, 4),
        e.JobQuarantined(JOB, ("n1",)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_the_inputs_of_a_job_that_ended_go_a_lease_later(store: TwinObjectStore, ending: e.Event) -> None:
    ended = batch(LATE_MS, ending)
    assert swept(store, LATE_MS + REST_MS - 1, *BEGUN, ended).preparations == 1, "the one that came to nothing"
    assert swept(store, LATE_MS + REST_MS, *BEGUN, ended) == InputsSwept(1, len(NAMES))
    assert left(store, SECOND) == set()
    assert left(store, "1.3.0", OTHER) == set(NAMES)


def test_inputs_that_serve_no_more_go_too(store: TwinObjectStore) -> None:
    swept(store, LATE_MS, *BEGUN, batch(3, e.InputsDropped(JOB, SECOND, "withdrawn")))
    assert left(store, SECOND) == set()


def test_of_refused_media_the_sentence_stays(store: TwinObjectStore) -> None:
    swept(store, LATE_MS, batch(0, ordered(FIRST)), batch(1, e.InputsRefused(JOB, FIRST, "codec")))
    assert left(store, FIRST) == {"refusal.txt"}


@pytest.mark.parametrize(
    "report", [PreparationDone(JOB, FIRST, "sha256:"), PreparationRefused(JOB, FIRST, "codec")], ids=["done", "refused"]
)
def test_what_was_stored_late_goes_a_lease_after_its_report(store: TwinObjectStore, report: PreparationReport) -> None:
    """A worker cut off from Kafka and not from the store went on."""
    late = batch(LATE_MS, reports=[report])
    assert swept(store, LATE_MS + REST_MS - 1, *BEGUN, late) == InputsSwept(0, 0)
    assert swept(store, LATE_MS + REST_MS, *BEGUN, late) == InputsSwept(1, len(NAMES))


def test_after_an_erasure_everything_goes_and_a_later_life_keeps_its_own(store: TwinObjectStore) -> None:
    third = "2.1.0"
    for name in NAMES:
        store.place(preparation_prefix(JOB, third) + name, b"")
    refused = batch(3, e.InputsRefused(JOB, SECOND, "codec"), e.JobErased(JOB, (), 0))
    again = (batch(LATE_MS, ordered(third)), batch(LATE_MS, prepared(third)))
    assert swept(store, 2 * LATE_MS, *BEGUN[:2], refused, *again) == InputsSwept(2, 2 * len(NAMES))
    assert left(store, third) == set(NAMES)


def test_what_is_stored_after_an_erasure_goes_a_lease_after_its_report(store: TwinObjectStore) -> None:
    late = batch(LATE_MS, reports=[PreparationDone(JOB, SECOND, "sha256:")])
    history = (*BEGUN, batch(3, e.JobErased(JOB, (), 0)), late)
    swept(store, LATE_MS + REST_MS - 1, *history)
    assert left(store, SECOND) == set(NAMES)
    swept(store, LATE_MS + REST_MS, *history)
    assert left(store, SECOND) == set()
