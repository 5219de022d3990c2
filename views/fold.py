"""Ledger batches applied to rows in memory: pure, so that a projection is a load, this, and a store.

Theory of operation. The caller loads the rows that `mentioned` names, folds one or several batches of one pool over
them, and stores what changed. Rows are replaced whole, so folding again from the first record gives the same rows;
counts are kept as differences (jobs by state, in flight, counters) because their rows are shared by all jobs.
A job event that the lifecycle table does not allow raises: a view that skipped it would answer wrongly for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contract import events as e
from contract.batch import Batch
from views import rows
from views.job_fold import JobFold
from views.pool_fold import PoolFold
from views.words import JOB_EVENTS

_NODE_EVENTS = (e.NodeAdmitted, e.NodeHeard, e.NodeVersionsChanged, e.NodeDrained, e.NodeDeparted, e.NodeLost)
_CLUSTER_EVENTS = (e.PolicyAdopted, e.PolicyReverted, e.LimitAdapted, e.ClusterDraining, e.ClusterReturned)


class Mentioned(NamedTuple):
    """Whose rows some batches may change."""

    jobs: list[str]
    nodes: list[str]
    clusters: bool
    """Any cluster of the pool."""


def mentioned(batches: Iterable[Batch]) -> Mentioned:
    jobs: dict[str, None] = {}
    nodes: dict[str, None] = {}
    clusters = False
    for batch in batches:
        for event in batch.events:
            if type(event) in JOB_EVENTS:
                jobs[event.job] = None  # type: ignore[union-attr]
            elif isinstance(event, _NODE_EVENTS):
                nodes[event.node] = None
            elif isinstance(event, _CLUSTER_EVENTS):
                clusters = True
    return Mentioned(list(jobs), list(nodes), clusters)


class Fold:
    """Rows of one pool under change."""

    def __init__(
        self,
        pool: str,
        jobs: Mapping[str, rows.JobRow],
        open_attempts: Mapping[str, rows.AttemptRow],
        nodes: Mapping[str, rows.NodeRow],
        clusters: Mapping[str, rows.ClusterRow],
    ) -> None:
        self.jobs = JobFold(pool, jobs, open_attempts)
        self.pool = PoolFold(pool, nodes, clusters)

    def fold(self, offset: int, batch: Batch) -> None:
        """Apply the batch at `offset`. IllegalTransition names what happened where."""
        self.jobs.begin(offset, batch)
        self.pool.begin(offset, batch)
        for index, event in enumerate(batch.events):
            self.pool.apply(event)
            if type(event) in JOB_EVENTS:
                self.jobs.apply(index, event)
            elif isinstance(event, e.InputQuarantined) and event.job:
                self.jobs.copied(event.job, event.offset, event.key)
