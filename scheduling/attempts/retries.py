"""What follows when an attempt closes: the job goes again or ends; and which closings count as failures of the job.

A failed attempt counts, and so does the loss of a node under a started attempt (or its restart without leaving, see
`counts_as_failure`). Recalls, pre-emptions, drains, give-backs and orders never claimed do not count, though attempt
numbers go on.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import (
    AttemptClosed,
    Event,
    InputsDropped,
    InputsRefused,
    JobCancelled,
    JobDeadLettered,
    JobExpired,
    JobQuarantined,
    JobRequeued,
    PreparationClosed,
)
from contract.lifecycle import JobState
from contract.policy import Policy
from scheduling.state.jobs import Job, Loss
from scheduling.state.nodes import Attempt
from scheduling.state.pool import State

LOSS_ALONE_MS = 60_000
"""A loss is alone when no other node of its cluster was lost within this lease time (design section 4)."""
BACKOFF_DOUBLINGS_MAX = 30

NODE_GONE = ("lost", "rejoined")
WORKER_LOSSES_MAX = 5
"""A decoder cannot take its worker with it, unless its walls have a hole. More than a few losses are no accident."""
ASKED_FOR = ("recalled", "killed", "pre_empted", "drained", "rejoined", "lost", "revoked")


def policy_of(state: State) -> Policy:
    """The policy in force. ValueError without one, which cannot be where there is a job: then every submission is
    refused."""
    if state.policy is None:
        raise ValueError(f"expected a policy in pool {state.pool}, found none; apply one first")
    return state.policy


def counts_as_failure(attempt: Attempt, reason: str) -> bool:
    """Whether an attempt that closed for this reason is a failure of its job.

    It is one only when the node went away after the attempt had started: `lost`, or `rejoined` with a new session
    without having left (the machine or its agent died, and the job may have killed it). A node that leaves in order
    hands its attempts back (`drained`), which is no failure.
    """
    return attempt.started and reason in NODE_GONE


def backoff_ms(policy: Policy, failures: int) -> int:
    """Lease time before the next attempt, after this many failures (at least one)."""
    doublings = min(failures - 1, BACKOFF_DOUBLINGS_MAX)
    return min(policy.backoff_ms << doublings, policy.backoff_max_ms)


def close(state: State, attempt: Attempt, reason: str, node: str) -> Iterator[Event]:
    """The attempt ends without a result, because a node of the attempt said so or is gone; and what follows."""
    if attempt.prepares:
        yield from close_preparation(state, attempt, reason)
        return
    counts = counts_as_failure(attempt, reason)
    closer = closer_of(attempt, node)
    yield AttemptClosed(job=attempt.job, dispatch=attempt.dispatch, reason=reason, counts=counts, node=closer)
    job = state.jobs[attempt.job]
    if counts:
        rest_ms = backoff_ms(policy_of(state), job.failures)
    else:
        rest_ms = 0 if reason in ASKED_FOR else policy_of(state).backoff_ms
    yield from what_follows(state, job, rest_ms)


def close_preparation(state: State, attempt: Attempt, reason: str) -> Iterator[Event]:
    """The open preparation ends without inputs: the job is prepared anew, at once or after a rest. Its end says nothing
    of the media, unless workers were lost over them again and again."""
    job, policy = state.jobs[attempt.job], policy_of(state)
    counts = reason in NODE_GONE
    rest_ms = 0
    if counts:
        rest_ms = backoff_ms(policy, job.worker_losses + 1)
    elif reason == "outage":
        rest_ms = backoff_ms(policy, job.rests + 1)
    elif reason == "unclaimed":
        rest_ms = policy.backoff_ms
    yield PreparationClosed(
        job=attempt.job,
        preparation=attempt.dispatch,
        reason=reason,
        eligible_lease_ms=state.lease_ms + rest_ms if rest_ms else 0,
        counts=counts,
    )
    if media_are_to_blame(job):
        yield InputsRefused(job=attempt.job, preparation="", kind="worker_lost")


def media_are_to_blame(job: Job) -> bool:
    """Workers were lost over the job so often that its media are taken for the reason."""
    return job.worker_losses >= WORKER_LOSSES_MAX


def closer_of(attempt: Attempt, node: str) -> str:
    """The node as events name it: empty for the node of rank 0."""
    return node if node != attempt.node else ""


def what_follows(state: State, job: Job, rest_ms: int, *, lacks_inputs: bool = False) -> Iterator[Event]:
    """The event after the one that closed the job's attempt: the job ends, or waits `rest_ms` of lease time. It waits
    for a slot, or, if its node said that the prepared inputs are not there, for a CPU worker.

    `rest_ms` 0: the job is eligible at once, and the evidence of its next dispatch does not name backoff."""
    if job.state is JobState.CANCELLING:
        yield the_end(job.job, job.ending)
        return
    suspects = lost_alone(state, job)
    if len(suspects) >= 2:
        yield JobQuarantined(job=job.job, nodes=suspects)
        return
    if job.failures >= policy_of(state).failures_max:
        yield JobDeadLettered(job=job.job, failures=job.failures)
        return
    eligible_lease_ms = state.lease_ms + rest_ms if rest_ms else 0
    if lacks_inputs and job.prepared:
        yield InputsDropped(job.job, job.prepared, "missing", eligible_lease_ms)
    else:
        yield JobRequeued(job=job.job, eligible_lease_ms=eligible_lease_ms)


def the_end(job: str, reason: str, actor: str = "") -> Event:
    """The terminal event of a job that is ended on request or by its deadline."""
    if reason == "expired":
        return JobExpired(job=job)
    return JobCancelled(job=job, reason=reason, actor=actor)


def lost_alone(state: State, job: Job) -> tuple[str, ...]:
    """Nodes lost under started attempts of this job, each the only one lost in its cluster within LOSS_ALONE_MS."""
    if len(job.losses) < 2:
        return ()
    return tuple(sorted({loss.node for loss in job.losses if _was_alone(state, loss)}))


def _was_alone(state: State, loss: Loss) -> bool:
    """No other node of the cluster was lost near this loss, and no other node's lease is over (whose loss this batch or
    the next one will say). A loss too old to be remembered says nothing against the job."""
    known = state.losses.get(loss.cluster, ())
    if loss not in known:
        return False
    if any(o.node != loss.node and abs(o.lease_ms - loss.lease_ms) <= LOSS_ALONE_MS for o in known):
        return False
    if loss.lease_ms < state.lease_ms:
        return True
    lease_ms = policy_of(state).node_lease_ms
    return not any(
        node.cluster == loss.cluster and state.lease_ms - node.heard_lease_ms >= lease_ms
        for node in state.nodes.values()
    )
