"""The life of a job, as data: which event may happen in which state, and which state follows.

Theory of operation. A job is in exactly one state. `TRANSITIONS` names, for each state, the events that may happen to
the job there and the state after each. Any other event means that the scheduler has a defect or that somebody edited
the ledger: `after` raises IllegalTransition. No event leads out of a terminal state. docs/generate.py draws the diagram
in docs/events.md from this table.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands."""

    SUBMITTED = "submitted"
    """The broker acknowledged the submission, and the scheduler has not judged it. A state of the views only: no ledger
    event names the job yet."""
    PREPARING = "preparing"
    """CPU workers prepare the job's media. The job is in no line for slots."""
    QUEUED = "queued"
    DISPATCHED = "dispatched"
    """An attempt is staged at a node."""
    STARTED = "started"
    """An attempt is running."""
    CANCELLING = "cancelling"
    """The job will end without a result when its open attempt closes."""
    SUCCEEDED = "succeeded"
    DEAD_LETTERED = "dead_lettered"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"


S = JobState

TRANSITIONS: dict[JobState, dict[str, JobState]] = {
    S.SUBMITTED: {"JobAccepted": S.QUEUED, "JobPreparing": S.PREPARING, "JobRefused": S.REFUSED},
    S.PREPARING: {
        "PreparationOrdered": S.PREPARING,
        "PreparationClosed": S.PREPARING,
        "InputsPrepared": S.QUEUED,
        "InputsRefused": S.REFUSED,
        "JobCancelled": S.CANCELLED,
        "JobExpired": S.EXPIRED,
        "JobRepinned": S.PREPARING,
    },
    S.QUEUED: {
        "JobDispatched": S.DISPATCHED,
        "JobCancelled": S.CANCELLED,
        "JobExpired": S.EXPIRED,
        # One of the next three comes right after an AttemptFailed or AttemptClosed, which leads back here.
        "JobDeadLettered": S.DEAD_LETTERED,
        "JobQuarantined": S.QUARANTINED,
        "JobRequeued": S.QUEUED,
        "StartForecast": S.QUEUED,
        "GangReserved": S.QUEUED,
        "JobRepinned": S.QUEUED,
        # After a JobRepinned, or an AttemptFailed with inputs_missing.
        "InputsDropped": S.PREPARING,
    },
    S.DISPATCHED: {
        "AttemptStarted": S.STARTED,
        "RecallOrdered": S.DISPATCHED,
        "JobCancelling": S.CANCELLING,
        "AttemptFailed": S.QUEUED,
        "AttemptClosed": S.QUEUED,
    },
    S.STARTED: {
        "KillOrdered": S.STARTED,
        "JobCancelling": S.CANCELLING,
        "JobSucceeded": S.SUCCEEDED,
        "AttemptFailed": S.QUEUED,
        "AttemptClosed": S.QUEUED,
    },
    S.CANCELLING: {
        "RecallOrdered": S.CANCELLING,
        "KillOrdered": S.CANCELLING,
        "AttemptStarted": S.CANCELLING,
        "AttemptFailed": S.CANCELLING,
        "AttemptClosed": S.CANCELLING,
        "JobCancelled": S.CANCELLED,
        "JobExpired": S.EXPIRED,
    },
    S.SUCCEEDED: {},
    S.DEAD_LETTERED: {},
    S.QUARANTINED: {},
    S.CANCELLED: {},
    S.EXPIRED: {},
    S.REFUSED: {},
}

ANYWHERE = frozenset({"JobDuplicated", "ErasureOrdered", "JobErased", "GangReleased"})
"""Events that may happen to a job in any state and leave the state as it was."""

TERMINAL = frozenset(state for state, ways in TRANSITIONS.items() if not ways)

ENDINGS = frozenset(event for ways in TRANSITIONS.values() for event, state in ways.items() if state in TERMINAL)
"""The events that end a job, by class name."""


class IllegalTransition(Exception):
    """An event happened to a job in a state in which the event may not happen."""


def after(state: JobState, event: str) -> JobState:
    """The state of a job after `event`, a class name, happened in `state`. IllegalTransition when the event may not
    happen there."""
    if event in ANYWHERE:
        return state
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(
            f"{event} in state {state.value}; expected one of {sorted(TRANSITIONS[state])}"
        ) from None
