"""GET /v1/jobs, GET /v1/jobs/{job}, POST /v1/jobs/{job}/cancel: the jobs of the caller, and of nobody else."""

from __future__ import annotations

import re
import uuid

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import AttemptBody, Cancelling, JobBody, JobCounts, JobDetail, JobList, ProgressBody
from api.callers import authenticate
from api.media_refusals import refusal_of
from api.operations import TEXT, in_path, operation, query
from api.problems import RETRY_AFTER_S, Problem
from api.replies import own_job, parameters, reply
from api.resources import Resources, resources_of
from api.submissions import SOURCE, trace_of
from contract.inputs import CancelRequested
from contract.lifecycle import TERMINAL, JobState
from contract.names import actor_name, is_name
from runtime import jobs_writer
from runtime.kafka import DeliveryUnclear
from views import queries
from views.rows import UNREADABLE, JobRow

PAGE_DEFAULT = 50
_LIMIT = re.compile(r"[0-9]{1,9}")
"""Python refuses to read a number of thousands of digits."""
_STATES = [*(state.value for state in JobState), UNREADABLE]


@operation(
    "GET",
    "/v1/jobs",
    "Your jobs, newest first.",
    {200: JobList},
    problems=(422,),
    parameters=(
        query("state", TEXT, "Only jobs in this state."),
        query("tier", TEXT, "Only jobs of this tier."),
        query("model", TEXT, "Only jobs of this model (its name alone)."),
        query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": queries.PAGE_MAX, "default": PAGE_DEFAULT},
            "Jobs a page.",
        ),
        query(
            "cursor",
            TEXT,
            "The `cursor` of the page before. With filters a page may be short, or empty, before the last.",
        ),
    ),
)
async def list_jobs(request: Request) -> Response:
    key = await authenticate(request)
    given = parameters(request, "state", "tier", "model", "limit", "cursor")
    state = given.get("state", "")
    if state and state not in _STATES:
        raise _invalid("state", f"one of {', '.join(_STATES)}", state)
    for name in ("tier", "model"):
        if name in given and not is_name(given[name]):
            raise _invalid(name, "a name", given[name])
    limit = given.get("limit", str(PAGE_DEFAULT))
    if not (_LIMIT.fullmatch(limit) and 1 <= int(limit) <= queries.PAGE_MAX):
        raise _invalid("limit", f"1 to {queries.PAGE_MAX}", limit)
    try:
        page = await resources_of(request).read(
            queries.jobs,
            key.tenant,
            state=state,
            tier=given.get("tier", ""),
            model=given.get("model", ""),
            limit=int(limit),
            cursor=given.get("cursor", ""),
        )
    except queries.CursorInvalid as error:
        raise Problem(422, "parameter-invalid", f"cursor: {error}") from None
    return reply(JobList([JobBody.of(row) for row in page.jobs], page.cursor))


@operation("GET", "/v1/jobs/counts", "Your jobs by tier and state.", {200: JobCounts})
async def count_jobs(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    return reply(JobCounts(await resources_of(request).read(queries.job_counts, key.tenant)))


@operation(
    "GET",
    "/v1/jobs/{job}",
    "One job with its attempts.",
    {200: JobDetail},
    problems=(404,),
    parameters=(in_path("job"),),
)
async def get_job(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    row = await own_job(request, key.tenant)
    attempts = await resources.read(queries.attempts, key.tenant, row.job) if row.attempts else []
    refusal = await refusal_of(resources, row)
    progress = resources.hub.progress_of(row.job) if row.state == JobState.STARTED else None
    return reply(
        JobDetail(
            JobBody.of(row),
            [AttemptBody.of(attempt) for attempt in attempts],
            ProgressBody.of(progress) if progress and progress.dispatch == attempts[-1].dispatch else None,
            refusal,
        )
    )


@operation(
    "POST",
    "/v1/jobs/{job}/cancel",
    "Ask for the job's end. 202 once the broker has the request; 200 when the job had ended.",
    {202: Cancelling, 200: Cancelling},
    problems=(404, 503),
    parameters=(in_path("job"),),
)
async def cancel_job(request: Request) -> Response:
    """202: the broker has the request. 200: the job had ended before."""
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    trace = trace_of(request.headers.get("traceparent", ""))
    row = await own_job(request, key.tenant)
    if row.state in TERMINAL:
        return reply(Cancelling(row.job, row.state), 200)
    if row.state == JobState.CANCELLING:
        return reply(Cancelling(row.job, row.state), 202)
    try:
        await resources.cancels.once(row.job, lambda: _write_cancel(resources, row, key.id, trace))
    except DeliveryUnclear:
        raise Problem(
            503,
            "not-acknowledged",
            "expected an acknowledgement of the cancel, found none in time: send it again, which does no harm",
            retry_after_s=RETRY_AFTER_S,
            job=row.job,
        ) from None
    return reply(Cancelling(row.job, row.state), 202)


async def _write_cancel(resources: Resources, row: JobRow, by: str, trace: str) -> None:
    policy = await resources.policies.for_writing(row.pool)
    event_id = uuid.uuid4().hex
    await jobs_writer.asend(
        resources.producer,
        resources.signer.record(
            CancelRequested(row.job, row.tenant, actor_name(by)),
            partition=policy.pools[row.pool].partition,
            key=event_id.encode(),
            event_id=event_id,
            source=SOURCE,
            traceparent=trace,
        ),
    )


def _invalid(name: str, expected: str, found: str) -> Problem:
    return Problem(422, "parameter-invalid", f"{name}: expected {expected}, found {found[:80]!r}")
