"""The verdicts on runs with faults: each of their parts can fail, and the runs are drawn as they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.batch import GENESIS, Batch
from contract.events import (
    AttemptClosed,
    AttemptFailed,
    Event,
    InputQuarantined,
    JobAccepted,
    JobDeadLettered,
    JobQuarantined,
    JobSucceeded,
)
from contract.results import EMPTY_MANIFEST
from tests.system.faults.judgement import Struck, require_ends, require_failures, require_objects, require_set_aside
from tests.system.faults.ledger_facts import LedgerFacts
from tests.system.faults.timetable import AWAY, FROZEN_S, KILLED, LEASE_S, STANDING_STILL, drawn
from tests.system.outages.findings import OutageFindings, Rss, Witness

JOBS = ("j1", "j2")


def facts(*more: Event, without: str = "") -> LedgerFacts:
    """Two jobs have succeeded, and more has happened."""
    ends: list[Event] = [JobSucceeded(job, f"d-{job}", "sha256:1") for job in JOBS if job != without]
    accepted = [
        JobAccepted(job, "t", "api", model, "v", 0, 0, 0, "k", "d")
        for job, model in zip(JOBS, ("noop", "gang-of-2"), strict=True)
    ]
    events = (*accepted, *ends, *more)
    return LedgerFacts([Batch("main", 1, 0, GENESIS, 0, 0, True, 0, (), events)])


def failed(job: str, kind: str) -> AttemptFailed:
    return AttemptFailed(job, f"x-{job}", kind, "")


def lost(job: str) -> AttemptClosed:
    return AttemptClosed(job, f"x-{job}", "lost", True)


ONE_CHILD = Struck([("killed", "child")], 4)
NOTHING = Struck([("frozen", "scheduler"), ("down", "kafka"), ("cordoned", "node-1")], 4)
STORED = tuple(f"results/{job}/d-{job}/manifest.json" for job in JOBS)


def test_a_clean_run_is_clean() -> None:
    clean = facts(failed("j1", "child_died"), InputQuarantined(7, "bad"))
    require_ends(clean, JOBS)
    require_failures(clean, ONE_CHILD)
    require_set_aside(clean, {("jobs", 0, 7), ("submissions", 1, 3)})
    require_objects(clean, (*STORED, "results/j1/x-j1/error.txt"))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (lambda: require_ends(facts(JobSucceeded("j1", "d2", "")), JOBS), "to end once"),
        (lambda: require_ends(facts(without="j2"), JOBS), "to succeed"),
        (lambda: require_ends(facts(JobDeadLettered("j2", 50), without="j2"), JOBS), "to succeed"),
        (lambda: require_ends(facts(), ("j1", "j1")), "two submissions with one"),
        (lambda: require_failures(facts(failed("j1", "store")), ONE_CHILD), "but by a kill"),
        (lambda: require_failures(facts(failed("j1", "time_out")), ONE_CHILD), "but by a kill"),
        (lambda: require_failures(facts(failed("j1", "model_error")), ONE_CHILD), "but by a kill"),
        (lambda: require_failures(facts(failed("j1", "child_died")), NOTHING), "by what was done"),
        (lambda: require_failures(facts(lost("j1")), NOTHING), "at most 0 attempts lost"),
        (lambda: require_failures(facts(*[lost("j1")] * 5), Struck([("killed", "node-1")], 4)), "at most 4"),
        (lambda: require_set_aside(facts(), {("jobs", 0, 7)}), "each record once"),
        (
            lambda: require_set_aside(facts(*[InputQuarantined(7, "bad")] * 2), {("jobs", 0, 7)}),
            "each record once",
        ),
        (lambda: require_objects(facts(), STORED[:1]), "1 missing"),
        (lambda: require_objects(facts(), (*STORED, "results/j1/x-j1/rank.txt")), "only results that count"),
    ],
)
def test_each_part_of_the_verdict_can_fail(verdict: Callable[[], Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        verdict()


def test_only_a_job_that_two_nodes_were_lost_under_may_be_quarantined() -> None:
    quarantined = JobQuarantined("j2", ("node-1", "node-2"))
    require_ends(facts(lost("j2"), lost("j2"), quarantined, without="j2"), JOBS)
    with pytest.raises(AssertionError, match="to succeed"):
        require_ends(facts(lost("j2"), quarantined, without="j2"), JOBS)


def test_what_counts_for_nobody_is_no_failure() -> None:
    spared = AttemptFailed("j1", "x", "child_died", "", counts=False)
    given_back = AttemptClosed("j1", "x", "recalled", False)
    assert require_failures(facts(spared, given_back), NOTHING) == "0 failed, 0 lost"


def test_a_job_without_outputs_leaves_no_manifest() -> None:
    require_objects(facts(JobSucceeded("j3", "d-j3", EMPTY_MANIFEST)), STORED)


def test_a_timetable_is_drawn_by_its_seed() -> None:
    assert drawn(1, 15, 19) == drawn(1, 15, 19)
    assert drawn(1, 15, 19) != drawn(2, 15, 19)


@pytest.mark.parametrize("seed", range(20))
def test_a_whole_run_has_each_fault_once_and_ends_in_time(seed: int) -> None:
    timetable = drawn(seed, 15, len(STANDING_STILL) + len(AWAY))
    kinds = [fault for fault, _ in STANDING_STILL + AWAY]
    assert sorted(one.fault for one in timetable.still + timetable.away) == sorted(kinds)
    assert {one.target for one in timetable.kills} == set(KILLED)
    assert all(LEASE_S < FROZEN_S[0] <= one.lasts_s for one in timetable.still)
    assert timetable.span_s < 150


CLEAN = OutageFindings(
    server="store",
    lasted_s=60.0,
    answers={202: 300, 503: 1},
    slowest_answer_s=2.0,
    silence_s=1.0,
    acknowledged=300,
    unfound=0,
    states={"succeeded": 302},
    failures=0,
    inside=Witness("succeeded", 1, True),
    across=Witness("succeeded", 1, True),
    holding="store",
    ended_parts={},
    memory={"api": Rss(90.0, 95.0, 95.0, 1.0)},
    current_after_s=3.0,
    verify=0,
)


def test_an_outage_that_nobody_noticed_is_clean() -> None:
    assert CLEAN.faults() == []
    CLEAN.require_clean()
    assert "store 60 s: clean; 300 jobs" in CLEAN.line()
    assert "api 90/95/95" in CLEAN.line()


@pytest.mark.parametrize(
    "change",
    [
        {"answers": {202: 1, 500: 1}},
        {"answers": {0: 1}},
        {"slowest_answer_s": 61.0},
        {"silence_s": 20.0},
        {"unfound": 1},
        {"states": {"succeeded": 1, "dead_lettered": 1}},
        {"failures": 1},
        {"inside": Witness("succeeded", 2, True)},
        {"inside": Witness("succeeded", 1, False)},
        {"across": Witness("dead_lettered", 1, True)},
        {"holding": ""},
        {"ended_parts": {"projector": 1}},
        {"memory": {"api": Rss(90.0, 300.0, 300.0, 200.0)}},
        {"current_after_s": 11.0},
        {"verify": 1},
    ],
    ids=str,
)
def test_each_part_of_an_outages_verdict_can_fail(change: dict[str, Any]) -> None:
    found = CLEAN._replace(**change)
    assert len(found.faults()) == 1
    with pytest.raises(AssertionError):
        found.require_clean()
    assert "1 FAULTS" in found.line()


def test_only_the_scheduler_may_grow_by_what_it_remembers_of_jobs() -> None:
    grown = Rss(100.0, 115.0, 115.0, 15.0)
    assert CLEAN._replace(acknowledged=3_000, memory={"scheduler": grown}).faults() == []
    assert CLEAN._replace(acknowledged=300, memory={"scheduler": grown}).faults() != []
    assert CLEAN._replace(acknowledged=3_000, memory={"projector": grown}).faults() != []


def test_a_broker_that_is_away_keeps_the_ledger_silent() -> None:
    assert CLEAN._replace(server="kafka", silence_s=60.0, holding="").faults() == []
