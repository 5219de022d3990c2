from __future__ import annotations

from typing import get_args

import pytest

from contract.events import Event
from contract.lifecycle import ANYWHERE, TERMINAL, TRANSITIONS, IllegalTransition, JobState, after

EVENTS = {kind.__name__ for kind in get_args(Event)}


def test_every_event_of_the_table_exists_and_every_job_event_is_in_the_table() -> None:
    named = {event for ways in TRANSITIONS.values() for event in ways} | ANYWHERE
    assert named <= EVENTS
    of_jobs = {kind.__name__ for kind in get_args(Event) if "job" in kind.__struct_fields__} - {"InputQuarantined"}
    assert of_jobs == named


def test_every_state_is_reached_and_every_live_state_can_end() -> None:
    reached = {JobState.SUBMITTED}
    while new := {t for s in reached for t in TRANSITIONS[s].values()} - reached:
        reached |= new
    assert reached == set(JobState)
    for state in set(JobState) - TERMINAL:
        seen = {state}
        while new := {t for s in seen for t in TRANSITIONS[s].values()} - seen:
            seen |= new
        assert seen & TERMINAL


@pytest.mark.parametrize("state", sorted(TERMINAL))
@pytest.mark.parametrize("event", sorted({e for ways in TRANSITIONS.values() for e in ways}))
def test_nothing_happens_after_the_end(state: JobState, event: str) -> None:
    with pytest.raises(IllegalTransition, match=event):
        after(state, event)


def test_an_erasure_is_recorded_in_any_state() -> None:
    assert after(JobState.SUCCEEDED, "JobErased") is JobState.SUCCEEDED
