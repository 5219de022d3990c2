"""The sentences of a job's feed."""

from __future__ import annotations

import pytest

from contract import events as e
from contract.events import REFUSALS
from tests.unit.views.ledger import Ledger, job_of
from views.moments import duration
from views.words import words

JOB = job_of("main", "one")


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0 ms"), (999, "999 ms"), (3_249, "3.2 s"), (250_000, "4 min 10 s"), (7_500_000, "2 h 5 min")],
)
def test_durations_are_said_in_two_units_at_most(ms: int, said: str) -> None:
    assert duration(ms) == said


def test_a_dispatch_says_where_and_after_how_long_and_names_no_other_job() -> None:
    event = Ledger("main").dispatched(JOB)
    assert words(event) == "attempt 1 goes to cluster east after 3.2 s (SLO 1 min 0 s)"
    assert event.next_job
    assert event.next_job not in words(event)


def test_a_failure_says_its_kind_and_error() -> None:
    assert words(e.AttemptFailed(JOB, "1.1.1", "model_error", "ValueError")) == (
        "the attempt failed: model_error (ValueError)"
    )
    assert words(e.AttemptFailed(JOB, "1.1.1", "time_out", "")) == "the attempt failed: time_out"


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_refusal_is_said_in_words(reason: str) -> None:
    said = words(e.JobRefused(JOB, "acme", reason, 1, "k"))
    assert said.startswith("refused: ")
    assert reason not in said or reason == "expired"


def test_a_lost_node_is_said_to_count() -> None:
    assert words(e.AttemptClosed(JOB, "1.1.1", "lost", True)).endswith("it counts as a failure")
