"""The whole state of a pool at a past moment: what the scheduler knew then, folded from the nearest snapshot.

The moment is one of the pool's own clock. The state is that after the last record that counts and is not later.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

import msgspec

from audit.ledger.damage import NotBelieved
from audit.ledger.past import LedgerPast
from audit.ledger.walk import Walk, walked
from contract.durations import UNITS_MS
from contract.lifecycle import JobState
from contract.policy import CLUSTER_KINDS
from scheduling.state.capacity import kind_of
from scheduling.state.nodes import ClusterState
from scheduling.state.pool import State
from views.moments import when

AHEAD_MAX_MS = 60_000
"""A broker's clock may be this far ahead of this machine's: a moment up to there is not called the future."""


class TierThen(msgspec.Struct, frozen=True):
    tier: str
    slo_ms: int
    preparing: int
    """Jobs whose media are prepared before they wait in line."""
    queued: int
    """Jobs that wait in line, resting jobs included."""
    resting: int
    """Queued jobs that rest after a failure."""
    staged: int
    running: int
    oldest_ms: int
    """The longest time that a queued job had waited."""


class ClusterThen(msgspec.Struct, frozen=True):
    cluster: str
    kind: str
    """run, or prepare: a cluster of CPU workers."""
    state: str
    """active, draining, or removed (not in the policy)."""
    limit: int
    staged: int
    """Attempts dispatched and not started, or open preparations: the limit is about these."""
    running: int
    nodes: int
    slots: int


class NodeThen(msgspec.Struct, frozen=True):
    node: str
    cluster: str
    chipset: str
    slots: int
    staged: int
    running: int
    draining: bool
    loaded: tuple[str, ...]


class AliasThen(msgspec.Struct, frozen=True):
    model: str
    alias: str
    version: str


class TrialThen(msgspec.Struct, frozen=True):
    """The policy in force was applied with a bound on attainment, and is reverted when it misses the bound."""

    before: str
    """Fingerprint of the policy that comes back then."""
    below_permille: int
    """The bound: attainment to keep."""
    jobs: int
    """First starts that the trial counts."""
    started: int
    """First starts so far."""
    kept: int
    """First starts so far within their SLO."""


class AsOf(msgspec.Struct, frozen=True):
    pool: str
    at_ms: int
    """The moment asked for."""
    recorded_ms: int
    """The pool's clock at the last record before it."""
    offset: int
    """Offset of that record."""
    epoch: int
    seq: int
    release: str
    rules: int
    policy: str
    """Fingerprint of the policy in force; empty: none."""
    trial: TrialThen | None
    """None: the policy is not on trial."""
    position: int
    """Offset in `jobs` up to which it had been read."""
    tiers: list[TierThen]
    clusters: list[ClusterThen]
    nodes: list[NodeThen]
    aliases: list[AliasThen]
    ended: int
    """Jobs that had ended and were remembered."""


class MomentInvalid(ValueError):
    """The text is no moment, or the pool has no state at that moment. The message says expected, found, what to do."""


class NothingYet(MomentInvalid):
    """The pool has no history at all: no scheduler has opened the pool."""


_UNITS_MS = {**UNITS_MS, "w": 7 * 86_400_000}
_AGO = re.compile(r"((?:[0-9]{1,12}(?:ms|s|m|h|d|w) ?)+)(?:ago)?")


def moment(text: str, now_ms: int) -> int:
    """The time in ms that a text means: ISO 8601 (in this machine's zone unless it has an offset), `90s ago`,
    `2h30m ago`, `1d` or `now`. MomentInvalid."""
    text = text.strip()
    if text == "now":
        return now_ms
    ago = _AGO.fullmatch(text)
    if ago is not None:
        parts = re.findall(r"(\d+)(ms|s|m|h|d|w)", ago[1])
        at_ms = now_ms - sum(int(number) * _UNITS_MS[unit] for number, unit in parts)
    else:
        try:
            at_ms = (datetime.fromisoformat(text).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // _MS
        except (ValueError, OverflowError):
            at_ms = -1
    if at_ms < 0:
        raise MomentInvalid(
            "expected a time since 1970 like 2026-11-24T14:30:00Z, 2026-11-24 14:30 (this machine's zone), `2h ago` or"
            f" `90s`, found {text[:80]!r}"
        )
    return at_ms


_MS = datetime(1970, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)


def as_of(past: LedgerPast, at_ms: int, now_ms: int) -> AsOf:
    """The state at this moment. MomentInvalid when the ledger has no state then, NothingYet when it is empty;
    NotBelieved."""
    if at_ms > now_ms + AHEAD_MAX_MS:
        raise MomentInvalid(f"expected a moment that has been, found {when(at_ms)}; now is {when(now_ms)}")

    def follow(walk: Walk) -> AsOf:
        first_ms = 0
        for _, batch in walk:
            if batch.now_ms > at_ms:
                first_ms = batch.now_ms
                break
        else:
            if walk.damage is not None and at_ms > walk.damage.trusted_ms:
                raise NotBelieved(walk.damage)
        if walk.state.seq < 0 or (first_ms and not walk.state.now_ms):  # a pool's first Opened may have no time
            began = f"expected a moment since the ledger of pool {past.pool} began, found {when(at_ms)}"
            if not first_ms:
                raise NothingYet(f"{began}: it has no record, no scheduler has opened the pool yet")
            raise MomentInvalid(f"{began}: it begins at {when(first_ms)}")
        return describe(walk.state, at_ms)

    return walked(past, at_ms, follow)


def describe(state: State, at_ms: int) -> AsOf:
    """The state in figures, for people and programs."""
    return AsOf(
        pool=state.pool,
        at_ms=at_ms,
        recorded_ms=state.now_ms,
        offset=state.head_offset,
        epoch=state.epoch,
        seq=state.seq,
        release=state.release,
        rules=state.rules,
        policy=state.fingerprint,
        trial=_trial(state),
        position=state.position,
        tiers=_tiers(state, at_ms),
        clusters=[_cluster(state, state.clusters[name]) for name in sorted(state.clusters)],
        nodes=[_node(state, name) for name in sorted(state.nodes)],
        aliases=[
            AliasThen(model, alias, state.aliases[model, alias].version) for model, alias in sorted(state.aliases)
        ],
        ended=len(state.ended),
    )


def _trial(state: State) -> TrialThen | None:
    trial = state.trial
    if trial is None:
        return None
    return TrialThen(trial.fingerprint, trial.below_permille, trial.jobs, trial.started, trial.kept)


def _tiers(state: State, at_ms: int) -> list[TierThen]:
    queued: Counter[str] = Counter()
    resting: Counter[str] = Counter()
    staged: Counter[str] = Counter()
    running: Counter[str] = Counter()
    oldest: dict[str, int] = {}
    preparing: Counter[str] = Counter()
    for job in state.jobs.values():
        if job.state is JobState.PREPARING:
            preparing[job.tier] += 1
        elif job.state is JobState.QUEUED:
            queued[job.tier] += 1
            resting[job.tier] += job.eligible_lease_ms > state.lease_ms
            oldest[job.tier] = min(oldest.get(job.tier, job.submitted_ms), job.submitted_ms)
        elif job.open is not None:
            (running if job.open.started else staged)[job.tier] += 1
    names = sorted(state.slos, key=lambda tier: (state.slos[tier], tier))
    return [
        TierThen(
            tier,
            state.slos[tier],
            preparing[tier],
            queued[tier],
            resting[tier],
            staged[tier],
            running[tier],
            at_ms - oldest[tier] if tier in oldest else 0,
        )
        for tier in names
    ]


def _cluster(state: State, cluster: ClusterState) -> ClusterThen:
    known = "removed" if not cluster.limit else "draining" if cluster.draining else "active"
    nodes = sum(node.cluster == cluster.name for node in state.nodes.values())
    staged = len(cluster.staged)
    kind = kind_of(state, cluster.name) or CLUSTER_KINDS[0]
    running = len(cluster.open) - staged
    return ClusterThen(cluster.name, kind, known, cluster.limit, staged, running, nodes, cluster.slots)


def _node(state: State, name: str) -> NodeThen:
    node, held = state.nodes[name], state.node_attempts[name]
    running = sum(attempt.started for attempt in held.values())
    return NodeThen(
        name, node.cluster, node.chipset, node.slots, len(held) - running, running, node.draining, node.loaded
    )
