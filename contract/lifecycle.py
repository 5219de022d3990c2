"""The life of a job, as data: which event may follow in which state, and where it leads.

Theory of operation. A job is in exactly one state. `TRANSITIONS` names, for each state, the events that may happen
to the job there and the state after; any other event is a defect (of the scheduler, or of a ledger that was edited).
Terminal states have no way out. docs/events.md draws its diagram from this table.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """NEW and SUBMITTED are states of the views only: no ledger event has named the job yet."""

    SUBMITTED = "submitted"
    """The broker acknowledged the submission; the scheduler has not judged it."""
    QUEUED = "queued"
    DISPATCHED = "dispatched"
    """An attempt is staged at a node."""
    STARTED = "started"
    """An attempt is running."""
    CANCELLING = "cancelling"
    """It will end without a result as soon as its open attempt closes."""
    SUCCEEDED = "succeeded"
    DEAD_LETTERED = "dead_lettered"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"


S = JobState

TRANSITIONS: dict[JobState, dict[str, JobState]] = {
    S.SUBMITTED: {"JobAccepted": S.QUEUED, "JobRefused": S.REFUSED},
    S.QUEUED: {
        "JobDispatched": S.DISPATCHED,
        "JobCancelled": S.CANCELLED,
        "JobExpired": S.EXPIRED,
        "JobDeadLettered": S.DEAD_LETTERED,
        "JobQuarantined": S.QUARANTINED,
        "JobRequeued": S.QUEUED,
        "StartForecast": S.QUEUED,
        "GangReserved": S.QUEUED,
        # JobDeadLettered, JobQuarantined and JobRequeued: the events right after the one that closed the attempt
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
"""Facts about a job that leave its state alone."""

TERMINAL = frozenset(state for state, ways in TRANSITIONS.items() if not ways)


ENDINGS = frozenset(event for ways in TRANSITIONS.values() for event, state in ways.items() if state in TERMINAL)
"""The events, by class name, that end a job."""


class IllegalTransition(Exception):
    """An event happened to a job in a state where it may not."""


def after(state: JobState, event: str) -> JobState:
    """The state after `event` (its class name) happened in `state`. IllegalTransition when it may not."""
    if event in ANYWHERE:
        return state
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(
            f"{event} in state {state.value}; expected one of {sorted(TRANSITIONS[state])}"
        ) from None
