"""GET /v1/jobs/{job}/attempts/{attempt}/error and …/log: what an attempt said, for the owner of its job only.

The words lie in the object store beside the attempt's result, never in the ledger or the views (docs/decisions/0002).
"""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import Response

from api.callers import authenticate
from api.operations import in_path, operation
from api.problems import RETRY_AFTER_S, Problem
from api.replies import own_job, parameters
from api.resources import resources_of
from contract.results import ERROR_NAME, LOG_NAME, TEXT_BYTES_MAX, attempt_prefix
from runtime.object_store import UNAVAILABLE, Missing
from views import queries
from views.rows import AttemptRow

log = structlog.get_logger(__name__)

TEXT = "text/plain; charset=utf-8"


@operation(
    "GET",
    "/v1/jobs/{job}/attempts/{attempt}/error",
    "Why the attempt failed, in full: the model's traceback, or what the node says.",
    {200: "text/plain"},
    problems=(404, 410, 503),
    parameters=(in_path("job"), in_path("attempt")),
)
async def get_error(request: Request) -> Response:
    return await _text(request, ERROR_NAME, "no-error", "it did not fail, or left no words")


@operation(
    "GET",
    "/v1/jobs/{job}/attempts/{attempt}/log",
    "The last of what the model printed during the attempt. It is there once the attempt has ended.",
    {200: "text/plain"},
    problems=(404, 410, 503),
    parameters=(in_path("job"), in_path("attempt")),
)
async def get_log(request: Request) -> Response:
    return await _text(request, LOG_NAME, "no-log", "it printed nothing, was halted, or has not ended")


async def _text(request: Request, name: str, absent: str, why: str) -> Response:
    key = await authenticate(request)
    parameters(request)
    row = await own_job(request, key.tenant)
    if row.erasure:
        raise Problem(410, "job-erased", "the job's words and its result were erased", state=row.state)
    resources = resources_of(request)
    attempt = attempt_named(request.path_params["attempt"], await resources.read(queries.attempts, key.tenant, row.job))
    try:
        words = await resources.in_store(
            resources.store.get, attempt_prefix(row.job, attempt.dispatch) + name, TEXT_BYTES_MAX
        )
    except Missing:
        detail = f"attempt {attempt.attempt} is {attempt.state} and has no such text: {why}"
        raise Problem(404, absent, detail, state=attempt.state) from None
    except UNAVAILABLE as error:
        log.warning("object store", job=row.job, error=type(error).__name__)
        raise Problem(
            503, "store-unavailable", "the object store did not answer: try again", retry_after_s=RETRY_AFTER_S
        ) from None
    return Response(words, media_type=TEXT)


def attempt_named(number: str, attempts: list[AttemptRow]) -> AttemptRow:
    """The attempt of this number. Problem 404 when the job has none."""
    for attempt in attempts:
        if str(attempt.attempt) == number:
            return attempt
    known = f"1 to {attempts[-1].attempt}" if attempts else "none yet"
    raise Problem(404, "unknown-attempt", f"expected an attempt of the job ({known}), found {number[:80]!r}")
