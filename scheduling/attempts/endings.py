"""Ending a job before it ends by itself: on request (cancel, erase) or by its deadline (expired).

A queued or preparing job ends at once; a worker that prepares it is told to stop. A job with an open attempt is
`cancelling` until that attempt closes, for whatever reason: the slot stays taken until the node says that it is free. A
staged attempt is recalled. If it is just starting, the node keeps it and reports Started, which `reports` answers with
a kill; so the attempt stops in either case.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import Event, JobCancelling, KillOrdered, PreparationClosed, RecallOrdered
from contract.lifecycle import JobState
from scheduling.attempts.retries import the_end
from scheduling.state.jobs import Job


def end(job: Job, reason: str, actor: str = "") -> Iterator[Event]:
    """Events that end the job, which must not be cancelling already. `actor`: who asked for it, if anybody did."""
    attempt = job.open
    if attempt is not None and attempt.prepares:
        yield PreparationClosed(job=job.job, preparation=attempt.dispatch, reason=reason)
        yield the_end(job.job, reason, actor)
        return
    if job.state is JobState.QUEUED or attempt is None:
        yield the_end(job.job, reason, actor)
        return
    yield JobCancelling(job=job.job, reason=reason, actor=actor)
    if attempt.started:
        yield KillOrdered(job=job.job, dispatch=attempt.dispatch, reason=reason)
    else:
        yield RecallOrdered(job=job.job, dispatch=attempt.dispatch, reason=reason)
