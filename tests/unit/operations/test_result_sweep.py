"""What is swept out of the store is named by an event of the ledger, and what counts stays."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contract.batch import Batch
from contract.events import AttemptClosed, AttemptFailed, AttemptStarted, Event, JobErased, JobSucceeded
from contract.inputs import Input, NodeReport, Report, Succeeded
from operations.result_sweep import REST_MS, Swept, sweep
from tests.twin.object_store import TwinObjectStore

JOB, OTHER = ("main-" + digit * 32 for digit in "01")
NAMES = ("a.mp4", "e", "error.txt", "_log.txt", "inputs.json", "manifest.json")
LATE_MS = 10_000_000


def batch(now_ms: int, *events: Event, reports: Sequence[Report] = ()) -> Batch:
    given = (Input(0, now_ms, NodeReport("n", "s", tuple(reports))),) if reports else ()
    return Batch("main", 1, 0, "", now_ms, 0, True, 0, given, events)


@pytest.fixture
def store() -> TwinObjectStore:
    store = TwinObjectStore()
    for prefix in (f"results/{JOB}/1.1.0/", f"results/{JOB}/1.2.0/", f"results/{OTHER}/1.3.0/"):
        for name in NAMES:
            store.place(prefix + name, b"")
    return store


def left(store: TwinObjectStore, job: str, dispatch: str) -> set[str]:
    prefix = f"results/{job}/{dispatch}/"
    return {key.removeprefix(prefix) for key in store.objects if key.startswith(prefix)}


HISTORY = (
    batch(0, AttemptStarted(JOB, "1.1.0")),
    batch(1, AttemptClosed(JOB, "1.1.0", "lost", True), AttemptStarted(JOB, "1.2.0"), AttemptStarted(OTHER, "1.3.0")),
    batch(2, JobSucceeded(JOB, "1.2.0", "sha256:"), reports=[Succeeded(JOB, "1.2.0", "sha256:")]),
)


def test_what_was_closed_goes_a_lease_later_but_for_error_and_log_and_what_counts_or_is_open_stays(
    store: TwinObjectStore,
) -> None:
    assert sweep(store, HISTORY, REST_MS) == Swept(0, 0), "a lease has not passed"
    assert sweep(store, HISTORY, REST_MS + 1) == Swept(1, 4)
    assert left(store, JOB, "1.1.0") == {"error.txt", "_log.txt"}
    assert left(store, JOB, "1.2.0") == left(store, OTHER, "1.3.0") == set(NAMES)
    assert sweep(store, HISTORY, LATE_MS) == Swept(0, 0)


def test_what_no_event_names_stays_for_ever(store: TwinObjectStore) -> None:
    assert sweep(store, (), LATE_MS) == Swept(0, 0)
    assert sweep(store, (batch(0, AttemptFailed(JOB, "1.1.0", "model_error", "E")),), LATE_MS) == Swept(0, 0), (
        "an attempt that never started left nothing but words of its failure"
    )


def test_a_result_that_was_stored_late_goes_a_lease_after_its_report(store: TwinObjectStore) -> None:
    late = batch(LATE_MS, reports=[Succeeded(JOB, "1.1.0", "sha256:")])
    assert sweep(store, (*HISTORY, late), LATE_MS + REST_MS - 1) == Swept(0, 0)
    assert sweep(store, (*HISTORY, late), LATE_MS + REST_MS) == Swept(1, 4)


def test_words_that_a_node_stores_after_an_erasure_go_all(store: TwinObjectStore) -> None:
    """Review 5.9: a node cut off from Kafka and not from the store finished after its job was erased."""
    erased = batch(3, JobErased(JOB, (), 0))
    late = batch(LATE_MS, reports=[Succeeded(JOB, "1.1.0", "sha256:")])
    assert sweep(store, (*HISTORY, erased, late), LATE_MS + REST_MS - 1) == Swept(0, 0)
    assert sweep(store, (*HISTORY, erased, late), LATE_MS + REST_MS) == Swept(1, 2 * len(NAMES))
    assert {key.split("/")[1] for key in store.objects} == {OTHER}


def test_an_erasure_says_nothing_of_a_later_life_of_the_job(store: TwinObjectStore) -> None:
    erased = batch(3, JobErased(JOB, (), 0))
    for dispatch in ("2.1.0", "2.2.0"):
        for name in NAMES:
            store.place(f"results/{JOB}/{dispatch}/{name}", b"")
    again = (
        batch(LATE_MS, AttemptStarted(JOB, "2.1.0")),
        batch(LATE_MS, AttemptClosed(JOB, "2.1.0", "lost", True), AttemptStarted(JOB, "2.2.0")),
        batch(LATE_MS, JobSucceeded(JOB, "2.2.0", "sha256:"), reports=[Succeeded(JOB, "2.2.0", "sha256:")]),
    )
    assert sweep(store, (*HISTORY, erased, *again), 2 * LATE_MS) == Swept(2, 2 * len(NAMES) + 4)
    assert left(store, JOB, "1.1.0") == left(store, JOB, "1.2.0") == set()
    assert left(store, JOB, "2.1.0") == {"error.txt", "_log.txt"}
    assert left(store, JOB, "2.2.0") == set(NAMES)
