"""A state as bytes, and back. The bytes are canonical: two states that hold the same facts have the same bytes, so the
hash of the bytes says whether two readers agree (I7). The host takes a snapshot only of state that was folded from
records read back; a snapshot of anything else could name a record that does not count.

A snapshot holds facts only; `decode` builds the indexes again. Ids of ended jobs and nodes that left keep the order in
which they ended, which is a fact; everything else is sorted.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from sys import intern

import msgspec

from contract.bounds import visible
from contract.inputs import Requirements
from contract.lifecycle import JobState
from contract.names import dispatch_order
from contract.policy import Policy
from scheduling import disciplines, forecast
from scheduling.disciplines.promise_shadow import pace_of
from scheduling.state import capacity, cordons, lines, preparing, sharing
from scheduling.state.jobs import Factors, Job, Loss, Situation
from scheduling.state.nodes import FormerNode, Node, Reservation, Suspect
from scheduling.state.pool import (
    Alias,
    ClassPace,
    FairTags,
    Mean,
    PromiseFacts,
    Share,
    State,
    TierShares,
    Trial,
    Version,
    initial_state,
)

FORMAT = 5
SAID_CHARACTERS_MAX = 200
"""Of what the decoder says of other bytes: it quotes them."""
_HASH = re.compile(r"[0-9a-f]{64}")


class SnapshotUnreadable(ValueError):
    """The bytes are no snapshot of this format. Read the ledger from its beginning instead."""


class ClusterFacts(msgspec.Struct, frozen=True):
    name: str
    draining: bool
    deadline_ms: int
    limit: int
    behind: int
    adapted_lease_ms: int
    fetch_ms: int
    run_ms: int


class AliasFacts(msgspec.Struct, frozen=True):
    model: str
    alias: str
    pointer: Alias


class SharesFacts(msgspec.Struct, frozen=True):
    tier: str
    virtual: int
    tags: dict[str, int]
    """Tags of tenants, where above `virtual`: a lower tag is as if never set."""


class LinePaceFacts(msgspec.Struct, frozen=True):
    tier: str
    chance: int
    last_ms: int
    longest: int
    shadow: list[int]


class PaceFacts(msgspec.Struct, frozen=True):
    requirements: Requirements
    slot: int
    last_ms: int
    since: int
    lines: list[LinePaceFacts]


class FactorsFacts(msgspec.Struct, frozen=True):
    tier: str
    situation: Situation
    factors: Factors


class ClassFacts(msgspec.Struct, frozen=True):
    requirements: Requirements
    spacing_us: int
    last_start_ms: int
    switched_ms: int


class Snapshot(msgspec.Struct, frozen=True, tag="Snapshot.v1"):
    """The facts of a State, field by field."""

    format: int
    pool: str
    epoch: int
    seq: int
    head_hash: str
    head_offset: int
    now_ms: int
    lease_ms: int
    position: int
    session: str
    release: str
    rules: int
    signed_from: int
    policy: Policy | None
    fingerprint: str
    held: bool
    partition: int
    slos: dict[str, int]
    versions: list[Version]
    aliases: list[AliasFacts]
    withdrawn: dict[str, bool]
    clusters: list[ClusterFacts]
    nodes: list[Node]
    past: list[tuple[str, FormerNode]]
    losses: dict[str, tuple[Loss, ...]]
    jobs: list[Job]
    ended: list[tuple[str, str]]
    ended_runs: list[tuple[int, int]]
    forgotten_ms: int
    stale: dict[str, int]
    shares: list[SharesFacts]
    fair: FairTags
    promise: PromiseFacts
    paces: list[PaceFacts]
    run_ms: dict[str, int]
    warm_ms: dict[str, Mean]
    load_ms: Mean
    factors: list[FactorsFacts]
    kinds: list[ClassFacts]
    """Of requirement classes."""
    trial: Trial | None
    suspects: list[tuple[str, Suspect]] = []
    """The oldest case first."""
    cases: int = 0
    reserved: list[Reservation] = []
    preparing: list[SharesFacts] = []
    """Shares of the lines in which jobs wait for CPU workers."""
    preparing_since: int = 0


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Snapshot)


def encode(state: State) -> bytes:
    """The canonical bytes of the state."""
    facts = Snapshot(
        format=FORMAT,
        pool=state.pool,
        epoch=state.epoch,
        seq=state.seq,
        head_hash=state.head_hash,
        head_offset=state.head_offset,
        now_ms=state.now_ms,
        lease_ms=state.lease_ms,
        position=state.position,
        session=state.session,
        release=state.release,
        rules=state.rules,
        signed_from=state.signed_from,
        policy=state.policy,
        fingerprint=state.fingerprint,
        held=state.held,
        partition=state.partition,
        slos=state.slos,
        versions=[state.versions[version] for version in sorted(state.versions)],
        aliases=[AliasFacts(*name, state.aliases[name]) for name in sorted(state.aliases)],
        withdrawn=state.withdrawn,
        clusters=[
            ClusterFacts(**{name: getattr(cluster, name) for name in ClusterFacts.__struct_fields__})
            for _, cluster in sorted(state.clusters.items())
        ],
        nodes=[state.nodes[node] for node in sorted(state.nodes)],
        past=list(state.past.items()),
        losses=state.losses,
        jobs=[state.jobs[job] for job in sorted(state.jobs)],
        ended=list(state.ended.items()),
        ended_runs=list(state.ended_runs),
        forgotten_ms=state.forgotten_ms,
        stale=state.stale,
        shares=_all_shares_facts(state.shares),
        fair=state.fair,
        promise=state.promise,
        paces=[
            _pace_facts(requirement_class.requirements, requirement_class.pace)
            for _, requirement_class in sorted(state.classes.items())
            if requirement_class.pace is not None
        ],
        run_ms=state.run_ms,
        warm_ms=state.warm_ms,
        load_ms=state.load_ms,
        factors=[FactorsFacts(*key, state.factors[key]) for key in sorted(state.factors)],
        kinds=[
            ClassFacts(
                requirement_class.requirements,
                requirement_class.spacing_us,
                requirement_class.last_start_ms,
                requirement_class.switched_ms,
            )
            for _, requirement_class in sorted(state.classes.items())
            if requirement_class.spacing_us or requirement_class.last_start_ms or requirement_class.switched_ms
        ],
        trial=state.trial,
        suspects=list(state.suspects.items()),
        cases=state.cases,
        reserved=[state.reserved[cluster] for cluster in sorted(state.reserved)],
        preparing=_all_shares_facts(state.preparing.shares),
        preparing_since=state.preparing.since,
    )
    return _encoder.encode(facts)


def _all_shares_facts(by_tier: dict[str, TierShares]) -> list[SharesFacts]:
    return [facts for tier, shares in sorted(by_tier.items()) if (facts := _shares_facts(tier, shares))]


def _shares_facts(tier: str, shares: TierShares) -> SharesFacts | None:
    """None before the tier's first pick."""
    tags = {tenant: share.tag for tenant, share in shares.tenants.items() if share.tag > shares.virtual}
    return SharesFacts(tier, shares.virtual, tags) if shares.virtual or tags else None


def _pace_facts(requirements: Requirements, pace: ClassPace) -> PaceFacts:
    lines = [
        LinePaceFacts(tier, line.chance, line.last_ms, line.longest, list(line.shadow))
        for tier, line in sorted(pace.lines.items())
    ]
    return PaceFacts(requirements, pace.slot, pace.last_ms, pace.since, lines)


def state_hash(state: State) -> str:
    """64 hex digits: equal for two states that hold the same facts."""
    return hashlib.sha256(encode(state)).hexdigest()


def decode(data: bytes) -> State:
    """The state of which these bytes are the snapshot. SnapshotUnreadable when they are no snapshot."""
    try:
        facts = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        found = f"other bytes ({visible(str(error))[:SAID_CHARACTERS_MAX]})"
        raise SnapshotUnreadable(f"expected a snapshot, found {found}; read the whole ledger") from None
    if facts.format != FORMAT:
        raise SnapshotUnreadable(f"expected snapshot format {FORMAT}, found {facts.format}; read the whole ledger")
    if not _HASH.fullmatch(facts.head_hash):
        raise SnapshotUnreadable(
            "expected a snapshot with the hash of a ledger record, found another text; read the whole ledger"
        )
    try:
        return _state_of(facts)
    except Exception as broken:  # its facts do not fit together: an older snapshot is read, or the whole ledger
        found = f"one whose facts do not fit together ({type(broken).__name__})"
        raise SnapshotUnreadable(f"expected a snapshot of a state, found {found}; read the whole ledger") from None


def _state_of(facts: Snapshot) -> State:
    state = initial_state(facts.pool)
    for name in _SAME:
        setattr(state, name, getattr(facts, name))
    state.slos = {intern(tier): slo_ms for tier, slo_ms in facts.slos.items()}
    state.stale = {intern(kind): count for kind, count in facts.stale.items()}
    state.versions = {version.version: version for version in facts.versions}
    state.aliases = {(entry.model, entry.alias): entry.pointer for entry in facts.aliases}
    state.withdrawn = {state.versions[version].version: kill for version, kill in facts.withdrawn.items()}
    state.past = dict(facts.past)
    state.suspects = dict(facts.suspects)
    for node, suspect in facts.suspects:
        cordons.watch(state, node, suspect)
    state.ended = {job: intern(tenant) for job, tenant in facts.ended}
    state.ended_runs = deque(facts.ended_runs)
    state.preparing.since = facts.preparing_since
    state.fair.tags = {intern(tier): tag for tier, tag in facts.fair.tags.items()}
    state.factors = {(intern(entry.tier), entry.situation): entry.factors for entry in facts.factors}
    _build_classes(state, facts)
    _build_clusters(state, facts)
    _build_shares(state, facts)
    disciplines.arrange(state)
    _build_paces(state, facts)
    facts.jobs.sort(key=lambda job: (job.submitted_ms, job.job))  # the order in which lines are cheapest
    for job in facts.jobs:
        if job.open is not None:
            dispatch_order(job.open.dispatch)  # refuses what orders could not be made of
        _build_job(state, job)
    return state


_SAME = (
    "epoch",
    "seq",
    "head_hash",
    "head_offset",
    "now_ms",
    "lease_ms",
    "position",
    "session",
    "release",
    "rules",
    "signed_from",
    "policy",
    "fingerprint",
    "held",
    "partition",
    "losses",
    "forgotten_ms",
    "cases",
    "fair",
    "promise",
    "trial",
    "run_ms",
    "warm_ms",
    "load_ms",
)


def _build_classes(state: State, facts: Snapshot) -> None:
    for version in facts.versions:
        lines.class_of(state, version.requirements)
    for entry in facts.kinds:
        requirement_class = lines.class_of(state, entry.requirements)
        requirement_class.spacing_us = entry.spacing_us
        requirement_class.last_start_ms = entry.last_start_ms
        requirement_class.switched_ms = entry.switched_ms


def _build_clusters(state: State, facts: Snapshot) -> None:
    for entry in facts.clusters:
        cluster = capacity.cluster_of(state, intern(entry.name))
        for name in ClusterFacts.__struct_fields__[1:]:
            setattr(cluster, name, getattr(entry, name))
    for node in facts.nodes:
        node.cluster = intern(node.cluster)
        capacity.admit(state, node)
    for reservation in facts.reserved:
        capacity.keep(state, reservation)


def _build_shares(state: State, facts: Snapshot) -> None:
    asked = [(entry, sharing.tier_shares(state, intern(entry.tier))) for entry in facts.shares]
    asked += [(entry, preparing.shares_of(state, intern(entry.tier))) for entry in facts.preparing]
    for entry, shares in asked:
        shares.virtual = entry.virtual
        for tenant in sorted(entry.tags):
            share = shares.tenants[intern(tenant)] = Share()
            share.tag = entry.tags[tenant]
            sharing.forget(shares, tenant)


def _build_paces(state: State, facts: Snapshot) -> None:
    for entry in facts.paces:
        requirement_class = lines.class_of(state, entry.requirements)
        pace = requirement_class.pace = ClassPace()
        pace.slot, pace.last_ms, pace.since = entry.slot, entry.last_ms, entry.since
        for known in entry.lines:
            line = pace_of(state, requirement_class, intern(known.tier))
            line.chance, line.last_ms, line.longest = known.chance, known.last_ms, known.longest
            line.shadow.extend(known.shadow)


def _build_job(state: State, job: Job) -> None:
    """Strings that many jobs share are held once, as `evolve` holds them."""
    job.tenant = intern(job.tenant)
    job.tier = intern(job.tier)
    job.model = intern(job.model)
    job.version = intern(job.version)
    job.alias = intern(job.alias)
    state.jobs[job.job] = job
    lines.line_of(state, job.version, job.tier)
    if job.open is not None:
        capacity.open_attempt(state, job.open)
        if job.version in state.withdrawn:
            state.withdrawn_open[job.job] = None
        if job.open.started:
            capacity.settle_started(state, job.open)
    elif job.state is JobState.PREPARING:
        preparing.enter(state, job)
    else:
        lines.enter(state, job)
        forecast.watch(state, job)
    lines.watch_deadline(state, job)
