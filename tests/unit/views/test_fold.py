"""The fold from ledger batches to rows, without a database."""

from __future__ import annotations

import msgspec
import pytest

from contract import events as e
from contract.lifecycle import TRANSITIONS
from tests.unit.views.ledger import MANIFEST, VERSION, Ledger, job_of, policy_of, submission_input
from views.fold import Fold, mentioned

POOL = "main"
JOB = job_of(POOL, "one")


def fold_of(ledger: Ledger) -> Fold:
    fold = Fold(ledger.pool, {}, {}, {}, {})
    for record in ledger.records:
        fold.fold(record.offset, record.batch)
    return fold


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(POOL)
    ledger.open()
    ledger.adopt()
    ledger.admit("n-1")
    return ledger


def test_a_job_that_runs_to_its_end(ledger: Ledger) -> None:
    ledger.run(JOB)
    fold = fold_of(ledger).jobs
    row = fold.jobs[JOB]
    assert (row.state, row.attempts, row.failures) == ("succeeded", 1, 0)
    assert (row.result_dispatch, row.result_manifest) == (ledger.dispatch(JOB), MANIFEST)
    assert row.accepted_ms is not None
    assert row.dispatched_ms == row.accepted_ms + 10
    assert row.started_ms == row.dispatched_ms + 10
    assert row.ended_ms == row.started_ms + 10
    assert [event.state for event in fold.events] == ["queued", "dispatched", "started", "succeeded"]
    assert [event.seq for event in fold.events] == [3, 4, 5, 6]
    assert {key: count for key, count in fold.counts.items() if count} == {("acme", "free", "succeeded"): 1}
    assert not any(fold.in_clusters.values())
    assert not any(fold.in_nodes.values())


def test_an_attempt_that_succeeded_shows_what_it_left_and_how_long_it_loaded(ledger: Ledger) -> None:
    for event in (ledger.accepted(JOB, "acme", "free"), ledger.dispatched(JOB), ledger.started(JOB)):
        ledger.write(event)
    ledger.write(e.JobSucceeded(JOB, ledger.dispatch(JOB), MANIFEST, bytes=1_200_000, load_ms=2**64))
    fold = fold_of(ledger).jobs
    (row,) = fold.attempts.values()
    assert (row.bytes, row.load_ms) == (1_200_000, 2**63 - 1), "a number that no column holds sets no job aside"
    assert fold.events[-1].words.startswith("succeeded; loading its version took ")


def test_failures_requeue_until_the_job_is_given_up(ledger: Ledger) -> None:
    ledger.write(ledger.accepted(JOB))
    for _ in range(2):
        ledger.write(ledger.dispatched(JOB))
        ledger.write(ledger.started(JOB))
        ledger.write(ledger.failed(JOB), e.JobRequeued(JOB, 2_000))
    ledger.write(e.JobDeadLettered(JOB, 2))
    fold = fold_of(ledger).jobs
    row = fold.jobs[JOB]
    assert (row.state, row.attempts, row.failures, row.reason) == ("dead_lettered", 2, 2, "model_error")
    attempts = [fold.attempts[JOB, number] for number in (1, 2)]
    assert [(a.state, a.failure, a.error, a.counts) for a in attempts] == [
        ("failed", "model_error", "ValueError", True)
    ] * 2
    assert not any(fold.in_clusters.values())
    assert not any(fold.in_nodes.values())


def test_a_recall_does_not_count_as_a_failure_and_a_lost_node_does(ledger: Ledger) -> None:
    ledger.write(ledger.accepted(JOB))
    ledger.write(ledger.dispatched(JOB))
    ledger.write(e.RecallOrdered(JOB, ledger.dispatch(JOB), "elsewhere"))
    ledger.write(ledger.closed(JOB, "recalled"), e.JobRequeued(JOB, 0))
    ledger.write(ledger.dispatched(JOB))
    ledger.write(ledger.started(JOB))
    ledger.write(e.NodeLost("n-1", "n1"), ledger.closed(JOB, "lost", counts=True), e.JobRequeued(JOB, 0))
    fold = fold_of(ledger)
    assert fold.jobs.jobs[JOB].failures == 1
    assert fold.jobs.jobs[JOB].state == "queued"
    assert fold.pool.nodes["n-1"].state == "lost"


def test_a_cancelled_job_ends_when_its_attempt_has_stopped(ledger: Ledger) -> None:
    ledger.write(ledger.accepted(JOB))
    ledger.write(ledger.dispatched(JOB))
    ledger.write(ledger.started(JOB))
    ledger.write(e.JobCancelling(JOB, "cancel"), e.KillOrdered(JOB, ledger.dispatch(JOB), "cancel"))
    fold = fold_of(ledger).jobs
    assert (fold.jobs[JOB].state, fold.jobs[JOB].reason, fold.jobs[JOB].ended_ms) == ("cancelling", "cancel", None)
    assert fold.in_clusters["east", "running"] == fold.in_nodes["n-1", "running"] == 1
    ledger.write(ledger.closed(JOB, "killed"), e.JobCancelled(JOB, "cancel"))
    fold = fold_of(ledger).jobs
    assert (fold.jobs[JOB].state, fold.jobs[JOB].ended_ms) == ("cancelled", ledger.now_ms)
    assert not any(fold.in_clusters.values())
    assert not any(fold.in_nodes.values())


def test_a_refused_job_keeps_what_its_submission_said(ledger: Ledger) -> None:
    refused = e.JobRefused(JOB, "acme", "unknown_model", 7, "k")
    ledger.write(refused, inputs=(submission_input(POOL, JOB, 7),))
    fold = fold_of(ledger).jobs
    row = fold.jobs[JOB]
    assert (row.state, row.reason, row.tier, row.model, row.tenant) == (
        "refused",
        "unknown_model",
        "gold",
        "absent@live",
        "acme",
    )
    assert list(fold.copies) == [(JOB, 7)]


def test_a_job_shows_the_version_that_it_took_when_its_own_was_withdrawn(ledger: Ledger) -> None:
    ledger.write(ledger.accepted(JOB))
    ledger.write(e.VersionWithdrawn("film", "sha256:1", kill=False), e.JobRepinned(JOB, "sha256:2"))
    ledger.write(e.VersionWithdrawn("film", "sha256:1", kill=True))
    fold = fold_of(ledger)
    assert fold.jobs.jobs[JOB].version == "sha256:2"
    assert fold.pool.withdrawals["film", "sha256:1"].kill
    ledger.write(e.JobCancelled(JOB, "version_withdrawn"))
    row = fold_of(ledger).jobs.jobs[JOB]
    assert (row.state, row.reason) == ("cancelled", "version_withdrawn")


def test_every_copy_of_a_jobs_words_is_known(ledger: Ledger) -> None:
    ledger.write(ledger.accepted(JOB))
    ledger.write(e.JobDuplicated(JOB, 8, "k8"), e.InputQuarantined(9, "too old", JOB, "k9"))
    fold = fold_of(ledger).jobs
    assert [(copy.offset, copy.key) for copy in fold.copies.values()][1:] == [(8, "k8"), (9, "k9")]
    assert fold.jobs[JOB].state == "queued"


def test_an_erasure_marks_the_job_and_forgets_its_fingerprint(ledger: Ledger) -> None:
    ledger.run(JOB)
    ledger.write(e.ErasureOrdered(JOB))
    fold = fold_of(ledger).jobs
    assert (fold.jobs[JOB].erasure, fold.jobs[JOB].state, fold.erased) == ("ordered", "succeeded", {JOB})
    ledger.write(e.JobErased(JOB, (1,), 5_000_000))
    row = fold_of(ledger).jobs.jobs[JOB]
    assert (row.erasure, row.gone_by_ms) == ("erased", 5_000_000)


def test_the_newest_forecast_of_a_start_is_kept(ledger: Ledger) -> None:
    ledger.write(msgspec.structs.replace(ledger.accepted(JOB), start_p50_ms=0, start_p90_ms=2_000))
    assert (fold_of(ledger).jobs.jobs[JOB].start_p50_ms, fold_of(ledger).jobs.jobs[JOB].start_p90_ms) == (0, 2_000)
    ledger.write(e.StartForecast(JOB, 3_000, 9_000))
    assert (fold_of(ledger).jobs.jobs[JOB].start_p50_ms, fold_of(ledger).jobs.jobs[JOB].start_p90_ms) == (3_000, 9_000)


def test_without_a_forecast_there_is_none(ledger: Ledger) -> None:
    ledger.write(ledger.accepted(JOB))
    assert fold_of(ledger).jobs.jobs[JOB].start_p90_ms is None


def test_every_event_of_the_lifecycle_table_is_folded() -> None:
    """A new event in the table without words here would be left out of every feed."""
    from views.words import JOB_EVENTS

    named = {name for ways in TRANSITIONS.values() for name in ways}
    assert named <= {kind.__name__ for kind in JOB_EVENTS}


def test_clusters_follow_the_policy_and_drains(ledger: Ledger) -> None:
    fold = fold_of(ledger).pool
    assert {name: (row.limit, row.state) for name, row in fold.clusters.items()} == {
        "east": (4, "active"),
        "west": (4, "active"),
    }
    ledger.write(e.ClusterDraining("east", 9_000))
    smaller = policy_of(POOL, limit=2)
    del smaller.clusters["west"]
    ledger.adopt(smaller)
    fold = fold_of(ledger).pool
    assert {name: (row.limit, row.state, row.deadline_ms) for name, row in fold.clusters.items()} == {
        "east": (2, "draining", 9_000),
        "west": (0, "removed", None),
    }
    ledger.write(e.ClusterReturned("east"))
    assert fold_of(ledger).pool.clusters["east"].state == "active"
    ledger.write(e.ClusterDraining("west", 9_000))
    row = fold_of(ledger).pool.clusters["west"]
    assert (row.state, row.deadline_ms) == ("removed", None), "the policy does not have it, whatever is said of it"
    ledger.adopt()
    row = fold_of(ledger).pool.clusters["west"]
    assert (row.limit, row.state, row.deadline_ms) == (4, "active", None)


def test_a_nodes_row_follows_what_is_heard(ledger: Ledger) -> None:
    ledger.write(e.NodeHeard("n-1", "n1"), e.NodeVersionsChanged("n-1", "n1", (VERSION,), (VERSION,)))
    row = fold_of(ledger).pool.nodes["n-1"]
    assert (row.heard_ms, row.loaded, row.state) == (ledger.now_ms, (VERSION,), "ready")
    ledger.write(e.NodeDrained("n-1", "n1"))
    assert fold_of(ledger).pool.nodes["n-1"].state == "draining"
    ledger.write(e.NodeDeparted("n-1", "n1"))
    row = fold_of(ledger).pool.nodes["n-1"]
    assert (row.state, row.loaded, row.cached) == ("departed", (), (VERSION,))
    ledger.admit("n-1", session="n2")
    row = fold_of(ledger).pool.nodes["n-1"]
    assert (row.session, row.state, row.loaded) == ("n2", "ready", ())


def test_what_starts_on_a_node_is_loaded_there(ledger: Ledger) -> None:
    ledger.admit("n-2")
    ledger.write(ledger.accepted(JOB))
    gang = msgspec.structs.replace(ledger.dispatched(JOB), members=(e.Member("n-2", "n1"), e.Member("n-2", "n1")))
    ledger.write(gang)
    fold = fold_of(ledger)
    assert fold.jobs.attempts[JOB, 1].others == ("n-2",)
    assert fold.jobs.in_clusters["east", "staged"] == 1
    assert fold.jobs.in_nodes["n-1", "staged"] == fold.jobs.in_nodes["n-2", "staged"] == 1
    assert fold.pool.nodes["n-1"].loaded == ()
    ledger.write(ledger.started(JOB))
    fold = fold_of(ledger)
    assert fold.pool.nodes["n-1"].loaded == fold.pool.nodes["n-2"].loaded == (VERSION,)
    assert fold.jobs.in_nodes["n-2", "staged"] == 0
    assert fold.jobs.in_nodes["n-2", "running"] == 1


def test_stale_reports_change_only_counters(ledger: Ledger) -> None:
    before = fold_of(ledger)
    ledger.write(e.ReportStale("Succeeded"), e.ReportStale("Started"), e.ReportStale("Started"))
    fold = fold_of(ledger)
    assert fold.pool.counters["ReportStale"] == 3
    assert fold.pool.counters["ReportStale:Started"] == 2
    assert (fold.jobs.jobs, fold.pool.nodes, fold.pool.clusters) == (
        before.jobs.jobs,
        before.pool.nodes,
        before.pool.clusters,
    )


def test_mentioned_names_whatever_a_fold_reads(ledger: Ledger) -> None:
    ledger.run(JOB)
    wanted = mentioned([record.batch for record in ledger.records])
    assert (wanted.jobs, wanted.starting, wanted.nodes, wanted.clusters) == ([JOB], [JOB], ["n-1"], True)
    assert not mentioned([ledger.write(ledger.accepted(JOB)).batch]).clusters
