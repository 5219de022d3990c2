"""GET /v1/jobs/{job}/result: only what the ledger accepted, whatever else lies in the object store."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import OutputFile, Result
from api.callers import authenticate
from api.operations import in_path, operation
from api.problems import RETRY_AFTER_S, Problem
from api.replies import own_job, parameters, reply
from api.resources import Resources, resources_of
from contract.codec import Malformed, decode_result
from contract.lifecycle import TERMINAL, JobState
from contract.results import (
    EMPTY_MANIFEST,
    MANIFEST_NAME,
    RESULT_MANIFEST_BYTES_MAX,
    ResultManifest,
    attempt_prefix,
)
from runtime.object_store import UNAVAILABLE, Missing, ObjectStore, OtherSize
from views import queries
from views.rows import UNREADABLE, JobRow

log = structlog.get_logger(__name__)

URL_TTL_S = 3_600
NOT_ENDED_RETRY_S = 2


@operation(
    "GET",
    "/v1/jobs/{job}/result",
    "What the job made.",
    {200: Result},
    problems=(404, 409, 410, 503),
    parameters=(in_path("job"),),
)
async def get_result(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    row = await own_job(request, key.tenant)
    _require_result(row)
    if row.result_manifest == EMPTY_MANIFEST:
        return reply(Result(row.job, row.version, msgspec.Raw(b"null"), [], row.result_manifest))
    try:
        result = await resources.in_store(_assemble, resources.store, row)
    except Missing:
        raise await _missing(resources, key.tenant, row) from None
    except _ResultDamaged as damage:
        log.error("result damaged", job=row.job, dispatch=row.result_dispatch, reason=str(damage))
        raise Problem(
            500,
            "result-damaged",
            f"expected the result that the ledger accepted ({row.result_manifest}), found {damage}; tell your operator",
        ) from None
    except UNAVAILABLE as error:
        log.warning("object store", job=row.job, found=str(error))
        raise Problem(
            503, "store-unavailable", "the object store did not answer: try again", retry_after_s=RETRY_AFTER_S
        ) from None
    return reply(result)


class _ResultDamaged(Exception):
    """The stored manifest is not the one that the ledger accepted."""


def _require_result(row: JobRow) -> None:
    if row.erasure:
        raise Problem(410, "job-erased", "the job's words and its result were erased", state=row.state)
    if row.state == JobState.SUCCEEDED:
        return
    if row.state == UNREADABLE:
        raise Problem(
            409,
            "job-unreadable",
            "expected the views to show how the job ended, found that they cannot show what the ledger says of it"
            f" ({row.reason}); the job itself goes on: tell your operator, who has `headrace audit story {row.job}`",
            state=row.state,
            reason=row.reason,
        )
    if row.state in TERMINAL:
        reason = f" ({row.reason})" if row.reason else ""
        where = (
            f"GET /v1/jobs/{row.job}/attempts/{row.attempts}/error says why the last attempt failed, and …/log what it"
            " printed"
            if row.attempts
            else "its events say more"
        )
        detail = f"the job ended without a result: {row.state}{reason}; {where}"
        raise Problem(409, "job-has-no-result", detail, state=row.state, reason=row.reason)
    raise Problem(
        409,
        "job-not-ended",
        f"the job is {row.state}; ask again once it has ended, or follow /v1/jobs/{row.job}/events",
        retry_after_s=NOT_ENDED_RETRY_S,
        state=row.state,
    )


def _assemble(store: ObjectStore, row: JobRow) -> Result:
    prefix = attempt_prefix(row.job, row.result_dispatch)
    try:
        raw = store.get(prefix + MANIFEST_NAME, RESULT_MANIFEST_BYTES_MAX)
    except OtherSize:
        raise _ResultDamaged("more bytes than a manifest has") from None
    manifest = checked_manifest(raw, row)
    files = [
        OutputFile(
            file.name,
            store.presign(prefix + file.name, URL_TTL_S, PurePosixPath(file.name).name),
            file.sha256,
            file.bytes,
            file.media_type,
        )
        for file in manifest.files
    ]
    return Result(row.job, manifest.version, manifest.values, files, row.result_manifest)


def checked_manifest(raw: bytes, row: JobRow) -> ResultManifest:
    """The manifest in these bytes. _ResultDamaged when the ledger accepted another manifest."""
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    if digest != row.result_manifest:
        raise _ResultDamaged(f"a manifest with digest {digest}")
    try:
        manifest = decode_result(raw)
    except Malformed:
        raise _ResultDamaged("bytes that are no result manifest") from None
    if (manifest.job, manifest.dispatch) != (row.job, row.result_dispatch):
        raise _ResultDamaged("the manifest of another attempt")
    return manifest


async def _missing(resources: Resources, tenant: str, row: JobRow) -> Problem:
    """The problem of a result that the store does not have: it was erased a moment ago, or it is lost."""
    now = await resources.read(queries.job, tenant, row.job)
    if now is not None and now.erasure:
        return Problem(410, "job-erased", "the job's words and its result were erased", state=now.state)
    log.error("result missing", job=row.job, dispatch=row.result_dispatch)
    return Problem(500, "result-missing", "the object store no longer has the result; tell your operator")
