"""The read models' tables in memory: what Postgres does with a fold, said once more and simply.

tests/integration/views holds Postgres against it. Values that Postgres would refuse raise here too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import copy
from typing import Any

import msgspec

from contract.batch import Batch
from views import rows
from views.columns import misfit
from views.fold import Fold, mentioned
from views.job_fold import Omission


class Tables:
    """Those of one pool."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.jobs: dict[str, rows.JobRow] = {}
        self.attempts: dict[tuple[str, int], rows.AttemptRow] = {}
        self.events: dict[tuple[str, int, int], rows.JobEventRow] = {}
        self.copies: dict[tuple[str, int], rows.JobCopyRow] = {}
        self.nodes: dict[str, rows.NodeRow] = {}
        self.clusters: dict[str, rows.ClusterRow] = {}
        self.policy: rows.PolicyRow | None = None
        self.versions: dict[tuple[str, str], rows.VersionRow] = {}
        self.withdrawals: dict[tuple[str, str], rows.WithdrawalRow] = {}
        self.aliases: dict[tuple[str, str], rows.AliasRow] = {}
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.in_clusters: Counter[tuple[str, str]] = Counter()
        self.in_nodes: Counter[tuple[str, str]] = Counter()
        self.counters: Counter[str] = Counter()
        self.omissions: list[Omission] = []

    def take(self, records: Iterable[tuple[int, Batch]]) -> None:
        """One transaction."""
        records = list(records)
        fold = self._load([batch for _, batch in records])
        for offset, batch in records:
            fold.fold(offset, batch)
        self._store(fold)
        self.omissions += fold.omissions

    def all_rows(self) -> dict[str, Any]:
        """Every table as plain values; counts of nothing are no rows."""
        tables = {name: table for name, table in vars(self).items() if name not in ("pool", "omissions")}
        rows_of = {
            name: {str(key): value for key, value in table.items() if not isinstance(value, int) or value}
            for name, table in tables.items()
            if isinstance(table, dict)
        }
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({**rows_of, "policy": self.policy}))
        return found

    def _load(self, batches: list[Batch]) -> Fold:
        wanted = mentioned(batches)
        attempts = {
            job: copy(attempt) for (job, _), attempt in self.attempts.items() if job in wanted.jobs and attempt.is_open
        }
        names = wanted.nodes_with(attempts)
        return Fold(
            self.pool,
            {job: copy(self.jobs[job]) for job in wanted.jobs if job in self.jobs},
            attempts,
            {name: copy(self.nodes[name]) for name in names if name in self.nodes},
            {name: copy(row) for name, row in self.clusters.items()} if wanted.clusters else {},
        )

    def _store(self, fold: Fold) -> None:
        jobs, own = fold.jobs, fold.pool
        self.attempts = {key: row for key, row in self.attempts.items() if key[0] not in jobs.begun}
        self.events = {key: row for key, row in self.events.items() if key[0] not in jobs.begun}
        self.jobs |= jobs.jobs
        self.attempts |= jobs.attempts
        for event in jobs.events:
            assert (event.job, event.seq, event.index) not in self.events, "the key is there already"
            self.events[event.job, event.seq, event.index] = event
        self.copies = {**jobs.copies, **self.copies}
        self.nodes |= own.nodes
        self.clusters |= own.clusters
        self.policy = own.policy or self.policy
        self.versions |= own.versions
        self.withdrawals |= own.withdrawals
        self.aliases |= own.aliases
        self.counts.update(jobs.counts)
        self.in_clusters.update(jobs.in_clusters)
        self.in_nodes.update(jobs.in_nodes)
        self.counters.update(fold.counters)
        changed: list[msgspec.Struct] = [
            *(*jobs.jobs.values(), *jobs.attempts.values(), *jobs.copies.values(), *jobs.events),
            *(*own.nodes.values(), *own.clusters.values(), *own.versions.values()),
            *(*own.withdrawals.values(), *own.aliases.values()),
            *filter(None, [own.policy]),
        ]
        for row in changed:
            assert not misfit(row), misfit(row)
