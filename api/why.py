"""GET /v1/jobs/{job}/why: the causes of a job's wait, from the ledger; other tenants have no names in it.

The ledger is read from the nearest snapshot before the submission. There is a bound on what one request may read and on
how many read at once: a process that reads ledgers for a few callers must go on answering all the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import structlog
from confluent_kafka import KafkaException
from starlette.requests import Request
from starlette.responses import Response

from api.callers import authenticate
from api.operations import in_path, operation
from api.problems import RETRY_AFTER_S, Problem
from api.replies import own_job, parameters, reply
from api.resources import BUSY_RETRY_S, Resources, resources_of
from audit.ledger.damage import NotBelieved
from audit.ledger.past import LedgerFrom, Remembered, past_of_partition
from audit.ledger.reader import JobUnknown, LedgerRecord
from audit.ledger.snapshots import PastSnapshots
from audit.waits.sentences import Why, explained
from audit.waits.wait import Promised
from audit.waits.why import why
from contract.lifecycle import JobState
from contract.names import pool_of
from contract.preparation_reports import MEDIA_REFUSALS
from contract.seals import SnapshotSeals
from runtime.kafka import OffsetGone
from runtime.object_store import UNAVAILABLE, ObjectStore
from views import projection
from views.rows import JobRow

log = structlog.get_logger(__name__)

RECORDS_MAX = 50_000
"""Ledger records that one request may read: about 2 s of folding on one core, and some 100 MB."""
READ_S = 8.0
"""The reading of one request ends without an answer after this time."""


class _TooMuch(Exception):
    """There is more to read than one request may read."""


@operation(
    "GET",
    "/v1/jobs/{job}/why",
    "Why the job waited, from submission to start: causes whose ms sum to the wait and percents to 100.",
    {200: Why},
    problems=(404, 409, 503),
    parameters=(in_path("job"),),
)
async def get_why(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    row = await own_job(request, key.tenant)
    if row.state == JobState.REFUSED and row.reason not in MEDIA_REFUSALS:
        raise Problem(
            409, "job-never-waited", f"the job was refused ({row.reason}) and never waited for a slot", state=row.state
        )
    partition = (await resources.policies.of(row.pool)).pools[row.pool].partition
    if not resources.ledger_askers.take(key.tenant):
        raise Problem(
            429,
            "too-many-questions",
            "another question of yours why a job waits is being answered: ask one after the other",
            retry_after_s=BUSY_RETRY_S,
        )
    try:
        if resources.reads_ledgers:
            raise Problem(
                503, "too-many-readers", "others read the ledger just now: try again", retry_after_s=BUSY_RETRY_S
            )
        return reply(await _answer(resources, row, partition, operator=key.scope == "operator"))
    finally:
        resources.ledger_askers.give_back(key.tenant)


async def _answer(resources: Resources, row: JobRow, partition: int, *, operator: bool) -> Why:
    at = await resources.read(projection.position, row.pool)
    remembered = [] if at is None else [Remembered("the views", at.offset)]
    try:
        return await resources.in_ledger(_read, resources, row, partition, remembered, operator=operator)
    except _TooMuch:
        raise Problem(
            503,
            "wait-too-long-to-explain",
            f"expected at most {RECORDS_MAX} records of the ledger, read within {READ_S:.0f} s, between the job's"
            f" submission and its end, found more: `headrace jobs why --ledger {row.job}`, for operators, has no such"
            " bound",
            job=row.job,
        ) from None
    except (JobUnknown, NotBelieved) as error:
        log.error("a wait can't be explained", job=row.job, error=type(error).__name__)
        detail = "expected the ledger to tell of the job, found that it can't be read so far; tell your operator, who"
        raise Problem(500, "ledger-not-believed", f"{detail} has `headrace audit verify`") from None
    except (KafkaException, OffsetGone, *UNAVAILABLE) as error:
        log.warning("ledger or snapshots", job=row.job, error=type(error).__name__)
        raise Problem(
            503, "ledger-unavailable", "the ledger did not answer: try again", retry_after_s=RETRY_AFTER_S
        ) from None


def _read(resources: Resources, row: JobRow, partition: int, remembered: list[Remembered], *, operator: bool) -> Why:
    """The wait, explained. A snapshot only spares reading: while the store is away, which may be the very reason of the
    wait, the ledger is read from its beginning."""
    try:
        return _explained(resources, row, partition, resources.store, remembered, operator=operator)
    except UNAVAILABLE as error:
        log.warning("a wait is explained without snapshots", job=row.job, error=type(error).__name__)
        return _explained(resources, row, partition, None, remembered, operator=operator)


def _explained(
    resources: Resources,
    row: JobRow,
    partition: int,
    store: ObjectStore | None,
    remembered: list[Remembered],
    *,
    operator: bool,
) -> Why:
    # this process has no installation key, and no time to read the whole ledger
    snapshots = None if store is None else PastSnapshots(store, SnapshotSeals(()), unproved=True)
    past = past_of_partition(resources.settings.brokers, pool_of(row.job), partition, snapshots, remembered, bounded)
    promised = Promised(row.tenant, row.tier, row.submitted_ms) if row.state == JobState.SUBMITTED else None
    return explained(why(row.job, past, row.submitted_ms, resources.clock.now_ms(), promised), operator=operator)


def bounded(unbounded: LedgerFrom) -> LedgerFrom:
    """The ledger with a bound on all that is read of it. _TooMuch beyond the bound."""
    ends_s = time.monotonic() + READ_S
    left = RECORDS_MAX

    def read(first: int) -> Iterator[LedgerRecord]:
        nonlocal left
        for record in unbounded(first):
            left -= 1
            if left < 0 or time.monotonic() > ends_s:
                raise _TooMuch
            yield record

    return read
