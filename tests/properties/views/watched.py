"""Views held against the state of the scheduler, field by field, after every batch."""

from __future__ import annotations

from collections import Counter

import msgspec

from contract.batch import Batch
from contract.events import NodeAdmitted, NodeHeard
from contract.lifecycle import JobState
from contract.policy import Policy
from scheduling.evolve import fold
from scheduling.state.capacity import kind_of
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt, ClusterState, Node
from scheduling.state.pool import State, initial_state
from tests.unit.scheduling.specification import POOL
from tests.unit.views.tables import Tables
from views.rows import JobRow


class Watched:
    """Folds a ledger twice, into tables and into a state, and compares them after every batch."""

    def __init__(self, pool: str = POOL) -> None:
        self.tables, self.state = Tables(pool), initial_state(pool)
        self.heard_ms: dict[str, int] = {}
        self.open = self.gangs = self.loaded = 0

    def take(self, offset: int, batch: Batch, record_hash: str = "") -> None:
        fold(self.state, batch, record_hash, offset)
        self.tables.take([(offset, batch)])
        assert not self.tables.omissions
        self._note_heard(batch)
        check(self.tables, self.state)
        for name, at_ms in self.heard_ms.items():
            assert self.tables.nodes[name].heard_ms == at_ms
        attempts = [job.open for job in self.state.jobs.values() if job.open is not None]
        self.open += len(attempts)
        self.gangs += sum(bool(attempt.members) for attempt in attempts)
        self.loaded += sum(bool(node.loaded) for node in self.state.nodes.values())

    def _note_heard(self, batch: Batch) -> None:
        for event in batch.events:
            if isinstance(event, NodeAdmitted | NodeHeard):
                self.heard_ms[event.node] = batch.now_ms


def check(tables: Tables, state: State) -> None:
    for job in state.jobs.values():
        check_job(tables, job)
    for ended in state.ended:
        assert JobState(tables.jobs[ended].state) not in (
            *(
                JobState.SUBMITTED,
                JobState.PREPARING,
                JobState.QUEUED,
                JobState.DISPATCHED,
                JobState.STARTED,
                JobState.CANCELLING,
            ),
        )
    unfinished = {row.job for row in tables.jobs.values() if row.ended_ms is None}
    assert unfinished == state.jobs.keys()
    check_counts(tables, state)
    check_attempts(tables, state)
    check_nodes(tables, state)
    check_clusters(tables, state)
    assert {key: (row.timeout_ms, bytes(row.requirements)) for key, row in tables.versions.items()} == {
        (v.model, v.version): (v.timeout_ms, msgspec.json.encode(v.requirements)) for v in state.versions.values()
    }
    assert {version: row.kill for (_, version), row in tables.withdrawals.items()} == state.withdrawn
    assert {key: (row.version, row.move) for key, row in tables.aliases.items()} == {
        key: (alias.version, alias.move) for key, alias in state.aliases.items()
    }
    if state.policy is None:
        assert tables.policy is None
    else:
        assert tables.policy is not None
        assert tables.policy.fingerprint == state.fingerprint
        assert msgspec.json.decode(bytes(tables.policy.document), type=Policy) == state.policy
    assert {
        name.partition(":")[2]: count for name, count in tables.counters.items() if name.startswith("ReportStale:")
    } == state.stale


def check_job(tables: Tables, job: Job) -> None:
    row = tables.jobs[job.job]
    shown = (row.tenant, row.tier, row.model, row.version, row.submitted_ms, row.expires_ms)
    assert shown == (job.tenant, job.tier, job.model, job.version, job.submitted_ms, job.expires_ms)
    assert (row.state, row.attempts, row.failures) == (job.state.value, job.attempts, job.failures)
    assert row.ended_ms is None
    assert row.reason == job.ending
    check_preparation(row, job)
    if job.open is not None and not job.open.prepares:
        assert row.dispatched_ms == job.open.dispatched_ms
        assert row.started_ms == (job.open.started_ms if job.open.started else None)
    assert (job.job, job.offset) in tables.copies
    if job.due_ms:
        assert row.submitted_ms + (row.start_p90_ms or 0) == job.due_ms


def check_preparation(row: JobRow, job: Job) -> None:
    prepares = job.open is not None and job.open.prepares
    assert row.media == job.media
    assert (row.prepared_ms is not None) == bool(job.prepared)
    if job.prepared:
        assert row.preparation == job.prepared
    if job.open is not None and prepares:
        assert (row.preparation, row.prepare_node) == (job.open.dispatch, job.open.node)
    assert row.prepare_cluster == (job.open.cluster if job.open is not None and prepares else "")


def check_counts(tables: Tables, state: State) -> None:
    counted = {key: count for key, count in tables.counts.items() if count}
    expected = Counter((job.tenant, job.tier, job.state.value) for job in state.jobs.values())
    unfinished = {job.state.value for job in state.jobs.values()}
    assert {key: count for key, count in counted.items() if key[2] in unfinished} == expected
    assert sum(counted.values()) == len(tables.jobs)
    assert min(counted.values(), default=1) > 0


def check_attempts(tables: Tables, state: State) -> None:
    shown = {
        row.job: (row.attempt, row.dispatch, row.node, row.session, row.cluster, row.dispatched_ms, row.started_ms)
        for row in tables.attempts.values()
        if row.is_open
    }
    open_jobs = (job for job in state.jobs.values() if job.open is not None and not job.open.prepares)
    assert shown == {job.job: _attempt(job.open) for job in open_jobs if job.open is not None}
    for job in state.jobs.values():
        assert {number for name, number in tables.attempts if name == job.job} == set(range(1, job.attempts + 1))


def _attempt(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.attempt,
        attempt.dispatch,
        attempt.node,
        attempt.session,
        attempt.cluster,
        attempt.dispatched_ms,
        attempt.started_ms if attempt.started else None,
    )


def check_nodes(tables: Tables, state: State) -> None:
    alive = {name: row for name, row in tables.nodes.items() if row.state in ("ready", "draining")}
    assert alive.keys() == state.nodes.keys()
    for name, node in state.nodes.items():
        check_node(tables, node, list(state.node_attempts[name].values()))
    for name, row in tables.nodes.items():
        if name not in alive:
            assert name in state.past
            assert row.loaded == ()
            assert (tables.in_nodes[name, "staged"], tables.in_nodes[name, "running"]) == (0, 0)


def check_node(tables: Tables, node: Node, held: list[Attempt]) -> None:
    row = tables.nodes[node.node]
    shown = (row.session, row.cluster, row.chipset, row.slots, row.gpus, row.memory_mib)
    assert shown == (node.session, node.cluster, node.chipset, node.slots, node.gpus, node.memory_mib)
    assert (row.loaded, row.cached) == (node.loaded, node.cached)
    assert row.kind == node.kind
    assert (row.usable, row.holding) == (node.usable, node.holding)
    assert row.state == ("draining" if node.draining else "ready")
    running = sum(attempt.started for attempt in held)
    counted = (tables.in_nodes[node.node, "staged"], tables.in_nodes[node.node, "running"])
    assert counted == (len(held) - running, running)


def check_clusters(tables: Tables, state: State) -> None:
    assert tables.clusters.keys() == state.clusters.keys()
    for name, cluster in state.clusters.items():
        check_cluster(tables, name, cluster, kind_of(state, name))


def check_cluster(tables: Tables, name: str, cluster: ClusterState, kind: str) -> None:
    row = tables.clusters[name]
    assert row.limit == cluster.limit
    if cluster.limit == 0:
        assert (row.state, row.deadline_ms) == ("removed", None)
    else:
        assert kind == row.kind
        assert (row.state == "draining") == cluster.draining
        assert (row.deadline_ms or 0) == cluster.deadline_ms
    staged = len(cluster.staged)
    counted = (tables.in_clusters[name, "staged"], tables.in_clusters[name, "running"])
    assert counted == (staged, len(cluster.open) - staged)
