"""Ledger batches applied to rows in memory: pure, so that a projection is a load, this, and a store.

Theory of operation. The caller loads the rows that `mentioned` names, folds one or several batches of one pool over
them, and stores what changed. Rows are replaced whole, so folding again from the first record gives the same rows;
counts are kept as differences (jobs by state, in flight, counters) because their rows are shared by all jobs.
Nothing that a batch holds raises: a job of which something cannot be shown is set aside (views.job_fold), an event
about something else that cannot be shown is passed over, and both are counted and named in `aside`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contract import events as e
from contract.batch import Batch
from views import rows
from views.columns import is_key_text, nearest_number
from views.job_fold import JobFold, Omission
from views.pool_fold import NotShown, PoolFold, PoolRow
from views.words import JOB_EVENTS

COUNTER_UNREADABLE = "JobUnreadable"
"""Counter of jobs that were set aside, each time they were."""
COUNTER_PASSED_OVER = "PassedOver"
"""Counter of events that the views do not show: those of jobs set aside, and those that no row can show."""

_NODE_EVENTS = (e.NodeAdmitted, e.NodeHeard, e.NodeVersionsChanged, e.NodeDrained, e.NodeDeparted, e.NodeLost)
_CLUSTER_EVENTS = (e.PolicyAdopted, e.PolicyReverted, e.LimitAdapted, e.ClusterDraining, e.ClusterReturned)


class Mentioned(NamedTuple):
    """Whose rows some batches may change."""

    jobs: list[str]
    starting: list[str]
    """Jobs of which an attempt starts: its nodes' rows change, wherever it was dispatched."""
    nodes: list[str]
    clusters: bool
    """Any cluster of the pool."""

    def nodes_with(self, open_attempts: Mapping[str, rows.AttemptRow]) -> list[str]:
        """`nodes`, and those of the attempts that start."""
        found = dict.fromkeys(self.nodes)
        for job in self.starting:
            if job in open_attempts:
                found |= dict.fromkeys(open_attempts[job].nodes)
        return list(found)


def mentioned(batches: Iterable[Batch]) -> Mentioned:
    """Names that no row can have are left out: there is nothing to load of them."""
    jobs: dict[str, None] = {}
    starting: dict[str, None] = {}
    nodes: dict[str, None] = {}
    clusters = False
    for batch in batches:
        for event in batch.events:
            if type(event) in JOB_EVENTS:
                jobs[event.job] = None  # type: ignore[union-attr]
                if isinstance(event, e.AttemptStarted):
                    starting[event.job] = None
                elif isinstance(event, e.JobDispatched):
                    nodes |= dict.fromkeys((event.node, *(member.node for member in event.members)))
            elif isinstance(event, _NODE_EVENTS):
                nodes[event.node] = None
            elif isinstance(event, _CLUSTER_EVENTS):
                clusters = True
    return Mentioned(_known(jobs), _known(starting), _known(nodes), clusters)


def _known(names: Iterable[str]) -> list[str]:
    return list(filter(is_key_text, names))


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
        self.pool = PoolFold(pool, nodes, clusters)
        self.jobs = JobFold(pool, jobs, open_attempts, self.pool.mark_loaded)
        self._omissions: list[Omission] = []
        self._offset = -1

    def fold(self, offset: int, batch: Batch) -> None:
        """Apply the batch at `offset`."""
        self._offset, now_ms = offset, nearest_number(batch.now_ms)
        self.jobs.begin(offset, batch, now_ms)
        self.pool.begin(batch, now_ms)
        for index, event in enumerate(batch.events):
            try:
                self.pool.apply(event)
            except NotShown as why:
                self._omissions.append(Omission("", offset, str(why)))
            if type(event) in JOB_EVENTS:
                self.jobs.apply(index, event)
            elif isinstance(event, e.InputQuarantined) and event.job:
                self.jobs.add_copy(event.job, event.offset, event.key)

    def refuse(self, row: PoolRow, reason: str) -> None:
        """The database does not take this row: what there was of it stays."""
        self.pool.leave_out(row)
        self._omissions.append(Omission("", self._offset, reason))

    @property
    def omissions(self) -> list[Omission]:
        """What was not shown, as far as it is worth a word: not each event of a job that was set aside before."""
        return [*self._omissions, *self.jobs.omissions]

    @property
    def counters(self) -> Counter[str]:
        """Difference by name."""
        unreadable = sum(bool(omission.job) for omission in self.jobs.omissions)
        passed_over = self.jobs.passed_over + len(self._omissions)
        counters = Counter(self.pool.counters)
        counters.update({COUNTER_UNREADABLE: unreadable, COUNTER_PASSED_OVER: passed_over})
        return +counters
