"""What a CPU worker says of a preparation amounts to. Part of `judge`.

A preparation is no attempt: a worker that is lost, or a store that is away, costs the job no attempt and is no failure
of the job. But media that workers are lost over, again and again, are refused in the end (`retries.WORKER_LOSSES_MAX`).
"""

from __future__ import annotations

from collections.abc import Iterator

from contract import preparation_reports as said
from contract.events import Event, InputsPrepared, InputsRefused, NodeDrained
from scheduling import forecast
from scheduling.attempts import retries
from scheduling.state import lines
from scheduling.state.jobs import Job
from scheduling.state.pool import State


def done(state: State, job: Job, report: said.PreparationDone, node: str) -> Iterator[Event]:
    """The job enters its line, at its own submit time, with a forecast unless it has started before."""
    p50_ms = p90_ms = 0
    if not job.has_started:
        requirement_class = lines.class_of(state, state.versions[job.version].requirements)
        p50_ms, p90_ms = forecast.for_new_job(state, requirement_class, job.tier)
        before_ms = state.now_ms - job.submitted_ms if p90_ms else 0
        p50_ms, p90_ms = p50_ms + before_ms, p90_ms + before_ms
    yield InputsPrepared(
        job=job.job,
        preparation=report.preparation,
        manifest=report.manifest,
        bytes=report.bytes,
        fetch_ms=report.fetch_ms,
        check_ms=report.check_ms,
        decode_ms=report.decode_ms,
        expected_ms=state.run_ms.get(job.version, 0),
        start_p50_ms=p50_ms,
        start_p90_ms=p90_ms,
    )


def refused(state: State, job: Job, report: said.PreparationRefused, node: str) -> Iterator[Event]:
    yield InputsRefused(job=job.job, preparation=report.preparation, kind=report.kind)


def stopped(state: State, job: Job, report: said.PreparationStopped, node: str) -> Iterator[Event]:
    """`drained` says that the worker takes no new work, before its next heartbeat says so. Nobody told it to stop what
    is still open, so `killed` is as if it had never begun."""
    if report.reason == "drained" and not state.nodes[node].draining:
        yield NodeDrained(node=node, session=state.nodes[node].session)
    reason = "unclaimed" if report.reason == "killed" else report.reason
    assert job.open is not None, "report_is_current found one"
    yield from retries.close(state, job.open, reason, node)
