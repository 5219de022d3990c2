"""A pool's life in which everything comes several at once: nodes lost and left, clusters drained, attempts missed,
versions loaded, limits adapted. If the core took any of these in the order of a set, the order would show: in a record,
in an order to a node, or in the state."""

from __future__ import annotations

from typing import Any

import msgspec

from contract.codec import encode
from contract.events import Event
from contract.inputs import (
    AliasMoved,
    Body,
    ClusterActivated,
    ClusterDrainRequested,
    NodeHeartbeat,
    NodeJoined,
    NodeLeft,
    NodeReport,
    Started,
    Succeeded,
    VersionPublished,
    WithdrawRequested,
)
from contract.policy import Cluster, Policy, Tier
from contract.policy import Pool as PolicyPool
from scheduling import snapshot
from scheduling.attempts import orders
from tests.unit.scheduling.specification import CPU, MANIFEST, POOL, Pool, a_job, submission, version_of

CLUSTERS = ("delta", "alpha", "charlie", "bravo")
MODELS = ("song", "film", "image", "shapes")
POLICY = Policy(
    {"free": Tier(100_000), "api": Tier(10_000), "light": Tier(10_000)},
    {POOL: PolicyPool(0)},
    {name: Cluster(POOL, 9, adaptive=True) for name in CLUSTERS},
)


class Crowd(Pool):
    """A pool that also remembers every order and where the order goes."""

    def __init__(self) -> None:
        self.ordered: list[bytes] = []
        super().__init__(POLICY, check=False)

    def tell(self, *bodies: Body, **how: Any) -> list[Event]:
        events = super().tell(*bodies, **how)
        for order in (*self.orders(), *orders.standing_orders(self.state)):
            self.ordered.append(encode(order) + repr(orders.clusters_for(self.state, order)).encode())
        return events

    def start_all(self, node: str) -> None:
        held = self.state.node_attempts[node]
        started = [Started(job, attempt.dispatch) for job, attempt in held.items() if not attempt.started]
        self.tell(NodeReport(node, f"{node}.s", tuple(started[:4])), after_ms=1_000)

    def succeed_all(self, nodes: list[str]) -> None:
        """One batch with what all nodes report."""
        reports = []
        for node in nodes:
            held = [attempt for attempt in self.state.node_attempts[node].values() if attempt.started]
            ended = tuple(Succeeded(attempt.job, attempt.dispatch, MANIFEST) for attempt in held)
            reports.append(NodeReport(node, f"{node}.s", ended))
        self.tell(*reports, after_ms=1_000)
        for node in nodes:
            self.start_all(node)

    def beat_all(self, listed: bool = True) -> None:
        """One batch with every node's heartbeat, which names loaded versions twice and in no order."""
        beats = []
        for node in sorted(self.state.nodes, reverse=True):
            held = [attempt.dispatch for attempt in self.state.node_attempts[node].values()] if listed else []
            loaded = tuple(version_of(f"{model}/v1") for model in (*MODELS[:3], MODELS[0]))
            beats.append(NodeHeartbeat(node, f"{node}.s", tuple(held), (), loaded, loaded))
        self.tell(*beats, after_ms=3_000)


def life() -> list[bytes]:
    """The pool's records, its orders, and its last state."""
    pool = Crowd()
    for model in MODELS:
        digest = version_of(f"{model}/v1")
        pool.tell(VersionPublished(model, digest, CPU, 60_000), AliasMoved(model, "live", digest, 1))
    suspect(pool)
    tiers = ("free", "api", "light")
    pool.tell(*(submission(number, tiers[number % 3], MODELS[number % 4]) for number in range(150)))
    nodes = [f"{cluster}{number}" for cluster in CLUSTERS for number in (2, 1)]
    pool.tell(*(NodeJoined(node, f"{node}.s", node[:-1], "cpu", 4, 0, 4_096) for node in nodes))
    for node in nodes[:6]:
        pool.start_all(node)
    pool.tell(NodeHeartbeat("stranger", "s"))
    pool.beat_all()
    pool.take_over()
    pool.tell(*(ClusterDrainRequested(cluster, pool.now_ms + 5_000) for cluster in CLUSTERS[:3]))
    pool.tick(5_000, lease_ms=0)
    pool.tell(*(ClusterActivated(cluster) for cluster in CLUSTERS))
    for _ in range(4):
        pool.beat_all(listed=False)
    pool.tell(*(NodeLeft(node, f"{node}.s") for node in nodes[:2]))
    for node in nodes[2:]:
        pool.start_all(node)
    pool.adopt(Policy(POLICY.tiers, POLICY.pools, POLICY.clusters, discipline="weighted_fair"))
    pool.succeed_all(nodes[2:5])
    pool.adopt(POLICY)
    pool.succeed_all(nodes[2:])
    for _ in range(5):
        pool.tick(10_000)
    distrust(pool)
    media(pool)
    return [*pool.records, *pool.ordered, snapshot.encode(pool.state)]


def distrust(pool: Crowd) -> None:
    """Models are trusted, and then no longer: nodes without all layers drain, and what is staged there is recalled."""
    pool.adopt(msgspec.structs.replace(POLICY, trusted_models=True))
    for node in ("yankee", "bravo"):
        pool.tell(NodeJoined(node, f"{node}.s", "alpha", "cpu", 4, 0, 4_096, layers_missing=("files",)))
    pool.adopt(POLICY)


def media(pool: Crowd) -> None:
    """CPU workers of two clusters: several preparations are given back, lost with their worker, pre-empted and
    withdrawn at once."""
    workers = {name: Cluster(POOL, 9, kind="prepare") for name in ("juliett", "hotel")}
    pool.adopt(msgspec.structs.replace(POLICY, clusters={**POLICY.clusters, **workers}))
    for number in (1, 2):
        digest = version_of(f"edit/v{number}")
        published = VersionPublished("edit", digest, CPU, 60_000, prepares=version_of(f"rules {number}"))
        pool.tell(published, *([AliasMoved("edit", "live", digest, 1)] if number == 1 else ()))
    names = ("juliett2", "hotel2", "juliett1", "hotel1")
    pool.tell(*(NodeJoined(node, f"{node}.s", node[:-1], "cpu", 4, 0, 4_096, kind="prepare") for node in names))
    jobs = [submission(number, ("free", "api")[number % 2], "edit", media=1) for number in range(700, 724)]
    pool.tell(*(msgspec.structs.replace(job, tenant=f"t{place % 5}") for place, job in enumerate(jobs)))
    pool.tell(
        NodeLeft("hotel2", "hotel2.s"), NodeJoined("hotel1", "again", "hotel", "cpu", 4, 0, 4_096, kind="prepare")
    )
    for name in workers:
        pool.tell(ClusterDrainRequested(name, pool.now_ms + 5_000))
    pool.tick(5_000, lease_ms=0)
    pool.tell(*(ClusterActivated(name) for name in workers))
    pool.tell(AliasMoved("edit", "live", version_of("edit/v2"), 2), WithdrawRequested("edit", version_of("edit/v1")))
    for _ in range(5):
        pool.tick(10_000)


def suspect(pool: Crowd) -> None:
    """Two nodes are lost under one job, each alone; the node that comes last in the alphabet is lost first."""
    pool.tell(submission(999, "api", "film"))
    for node, cluster in (("zulu", "alpha"), ("alfa", "bravo")):
        pool.tell(NodeJoined(node, f"{node}.s", cluster, "cpu", 1, 0, 4_096))
        pool.start(a_job(999), node, f"{node}.s")
        for _ in range(12):
            pool.tick(10_000)
    assert a_job(999) not in pool.state.jobs, "quarantined"
