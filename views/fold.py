"""Ledger batches applied to rows in memory: pure, so a projection loads rows, folds here, and stores rows.

Theory of operation. The caller loads the rows that `mentioned` names, folds one or several batches of one pool over
them, and stores what changed. Rows are replaced whole, so folding again from the first record gives the same rows.
Counts (jobs by state, attempts in flight, counters) are differences, because all jobs share their rows.
No content of a batch raises. A job that cannot be shown as the ledger has it is set aside (views.job_fold), and any
other event that cannot be shown is passed over. Both are counted and named in `omissions`.
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
"""Counts how often a job was set aside."""
COUNTER_PASSED_OVER = "PassedOver"
"""Counts events that the views do not show: those of jobs that were set aside, and those that no row can show."""

_NODE_EVENTS = (
    e.NodeAdmitted,
    e.NodeHeard,
    e.NodeVersionsChanged,
    e.NodeSlotsChanged,
    e.NodeDrained,
    e.NodeCordoned,
    e.NodeUncordoned,
    e.NodeDeparted,
    e.NodeLost,
)
_CLUSTER_EVENTS = (e.PolicyAdopted, e.PolicyReverted, e.LimitAdapted, e.ClusterDraining, e.ClusterReturned)


class Mentioned(NamedTuple):
    """Whose rows these batches may change."""

    jobs: list[str]
    starting: list[str]
    """Jobs of which an attempt starts: the rows of its nodes change, whichever batch dispatched the attempt."""
    nodes: list[str]
    clusters: bool
    """Whether any cluster of the pool may change."""

    def nodes_with(self, open_attempts: Mapping[str, rows.AttemptRow]) -> list[str]:
        """`nodes`, and the nodes of the attempts that start."""
        found = dict.fromkeys(self.nodes)
        for job in self.starting:
            if job in open_attempts:
                found |= dict.fromkeys(open_attempts[job].nodes)
        return list(found)


def mentioned(batches: Iterable[Batch]) -> Mentioned:
    """What the batches mention, without names that no row can have: no row of these can be loaded."""
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
    """The rows of one pool while batches are folded over them."""

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
        """Applies the batch at this offset."""
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
        """The database refuses this row: the row as it was stored stays."""
        self.pool.leave_out(row)
        self._omissions.append(Omission("", self._offset, reason))

    @property
    def omissions(self) -> list[Omission]:
        """What is not shown and why, without the later events of jobs that were set aside before."""
        return [*self._omissions, *self.jobs.omissions]

    @property
    def counters(self) -> Counter[str]:
        """The differences, by name."""
        unreadable = sum(bool(omission.job) for omission in self.jobs.omissions)
        passed_over = self.jobs.passed_over + len(self._omissions)
        counters = Counter(self.pool.counters)
        counters.update({COUNTER_UNREADABLE: unreadable, COUNTER_PASSED_OVER: passed_over})
        return +counters
