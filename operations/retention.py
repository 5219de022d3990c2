"""Retention of the views: rows of jobs that ended long ago go, because nothing asks for them any more.

Theory of operation. The ledger keeps the history; the views only show it. A job may leave the views when

- its id is remembered nowhere: the scheduler forgets the id `submission_age_max` after the job's end, and a receipt
  that went sooner would let an Idempotency-Key meet the id that the scheduler still knows, so a job that never runs
  would be acknowledged;
- no copy of its words lies in `jobs`, where records live 30 days: an erasure has to find every copy. (What lies in
  the object store an erasure finds by the job's id.)

Both hold `submission_age_max` and 31 days after the end (KEPT_MORE_MS), which is the least that may be asked for. Times
are the pool's own, as its ledger has them, so a pool that stands still loses nothing. What goes depends on the rows
and on the time alone: views that are built anew from the ledger are the same once they are pruned to the same time.

Copies are their own matter. Some belong to no job (a copy that was quarantined). A copy goes once the broker has it no
more: its offset lies before the first one of the partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Engine, text

from contract.durations import DAY_MS
from contract.topics import JOBS
from registry.pools import partitions
from runtime.kafka import Watermarks
from runtime.kafka_credentials import Brokers
from views import queries, retention
from views.retention import OldCopy

KEPT_MORE_MS = 31 * DAY_MS
"""Beyond `submission_age_max`: how long `jobs` keeps a record, and a day for the segment that holds the record."""


_NOW = text("SELECT pool, now_ms FROM views.ledger_positions")


class KeptTooShort(ValueError):
    """Jobs have to be kept for longer. The message says for how long."""


class Pruned(NamedTuple):
    jobs: int
    copies: int


def prune(engine: Engine, first_offsets: Mapping[str, int], kept_ms: int) -> Pruned:
    """Removes jobs that ended `kept_ms` ago, with all that belongs to them, and copies that lie before the first offset
    of their pool's partition of `jobs`. May be cut short and begun anew at any time. KeptTooShort."""
    with engine.connect() as connection:
        policies = queries.policies(connection)
        now_ms: dict[str, int] = {row.pool: row.now_ms for row in connection.execute(_NOW)}
    for view in policies:
        least_ms = view.policy.submission_age_max_ms + KEPT_MORE_MS
        if kept_ms < least_ms:
            raise KeptTooShort(
                f"expected to keep jobs for {-(-least_ms // DAY_MS)} days at least, because pool {view.pool} knows"
                f" their ids for that long and `jobs` has their words, found {kept_ms / DAY_MS:.4g} days"
            )
    known = {view.pool for view in policies}
    before_ms = {pool: at_ms - kept_ms for pool, at_ms in now_ms.items() if pool in known}
    return Pruned(_prune_jobs(engine, before_ms), _prune_copies(engine, first_offsets))


def first_offsets(engine: Engine, brokers: Brokers) -> dict[str, int]:
    """By pool, the first offset that its partition of `jobs` has. KafkaException."""
    watermarks = Watermarks(brokers, client_id="headrace-prune")
    try:
        return {pool: watermarks.of(JOBS, partition)[0] for pool, partition in partitions(engine).items()}
    finally:
        watermarks.close()


def _prune_jobs(engine: Engine, before_ms: Mapping[str, int]) -> int:
    removed, tenant = 0, None
    newest_ms = max(before_ms.values(), default=-(2**63))
    while True:
        with engine.connect() as connection:
            tenant = retention.next_tenant(connection, tenant)
        if tenant is None:
            return removed
        last = None
        while True:
            with engine.connect() as connection:
                page = retention.old_jobs(connection, tenant, newest_ms, last)
            if not page:
                break
            last = page[-1]
            for pool, old in groupby(sorted(page, key=attrgetter("pool")), attrgetter("pool")):
                if pool in before_ms:
                    with engine.begin() as connection:
                        removed += retention.remove_jobs(connection, pool, [job.job for job in old], before_ms[pool])


def _prune_copies(engine: Engine, first_offsets: Mapping[str, int]) -> int:
    removed, after = 0, OldCopy("", -1)
    while True:
        with engine.connect() as connection:
            page = retention.copies(connection, after)
        if not page:
            return removed
        with engine.begin() as connection:
            for pool, first in first_offsets.items():
                removed += retention.remove_copies(connection, pool, first, after, page[-1])
        after = page[-1]
