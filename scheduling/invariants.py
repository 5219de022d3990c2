"""What must hold of a state between two batches. Used in tests after every step and sampled in production.

Checked are I2, I3, I5, I6 and I15 as far as one state shows them, that failures never outnumber attempts (I4; the cap
itself is a matter of transitions, because a policy may lower it), and that every index is what a naive recount of the
facts gives. The independent auditor (audit) checks the ledger and shares no code with this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from contract.events import Member
from contract.lifecycle import TERMINAL, JobState
from contract.names import dispatch_order
from scheduling import line_invariants
from scheduling.attempts.retries import WORKER_LOSSES_MAX
from scheduling.state import access
from scheduling.state.avoidance import AVOIDED_MAX
from scheduling.state.capacity import PREPARE, fits, is_cordoned, limit_of, staged_per_slot_of
from scheduling.state.cordons import ACCUSERS, SUSPECTS_KEPT
from scheduling.state.jobs import Job
from scheduling.state.nodes import FAILURES, Attempt, Group, Node
from scheduling.state.pool import State


def check(state: State) -> list[str]:
    """Everything that does not hold, in words; empty when all is well."""
    return [
        *_ids(state),
        *_trial(state),
        *(fault for job in state.jobs.values() for fault in _job(state, job)),
        *_dispatches(state),
        *_clusters(state),
        *_reserved(state),
        *_nodes(state),
        *_suspects(state),
        *line_invariants.lines(state),
        *line_invariants.preparing_lines(state),
        *_heaps(state),
    ]


def _trial(state: State) -> Iterator[str]:
    trial = state.trial
    if trial is not None and not 0 <= trial.kept <= trial.started <= trial.jobs:
        yield f"a policy on trial kept {trial.kept} of {trial.started} starts, of {trial.jobs} to come"


def _ids(state: State) -> Iterator[str]:
    for job_id, job in state.jobs.items():
        if job.job != job_id:
            yield f"job {job.job} is kept under {job_id}"
        if job_id in state.ended:
            yield f"I2: job {job_id} has ended and has not"
    counted = sum(count for _, count in state.ended_runs)
    if counted != len(state.ended):
        yield f"{len(state.ended)} ended ids, but their runs count {counted}"


def _job(state: State, job: Job) -> Iterator[str]:
    if job.state in TERMINAL:
        yield f"I2: job {job.job} is {job.state.value} and still kept"
    has_attempt = job.state in (JobState.DISPATCHED, JobState.STARTED, JobState.CANCELLING)
    if job.failures + job.spared > job.attempts:
        yield f"I4: job {job.job} failed {job.failures} + {job.spared} times in {job.attempts} attempts"
    if (job.state is JobState.CANCELLING) != (job.ending != ""):
        yield f"job {job.job} is {job.state.value} and ends because of {job.ending!r}"
    if job.state is JobState.PREPARING:
        yield from _preparing(state, job)
        return
    if (job.open is not None) != has_attempt:
        yield f"I6: job {job.job} is {job.state.value} with{'out' if job.open is None else ''} an open attempt"
    if job.state is JobState.QUEUED and job.eligible_lease_ms < 0:
        yield f"job {job.job}: its attempt closed and nothing followed"
    if len({avoided.node for avoided in job.avoid}) != len(job.avoid) or len(job.avoid) > AVOIDED_MAX:
        yield f"job {job.job} avoids {len(job.avoid)} nodes, or one twice"
    if (job.job in state.withdrawn_open) != (job.open is not None and job.version in state.withdrawn):
        yield f"job {job.job} runs a withdrawn version and nobody knows, or the other way round"
    if job.open is not None:
        yield from _attempt(state, job, job.open)


def _preparing(state: State, job: Job) -> Iterator[str]:
    """A job whose media are prepared has no attempt; at most one preparation of it is open, at a CPU worker."""
    if job.prepared or not job.media or job.worker_losses >= WORKER_LOSSES_MAX:
        yield f"job {job.job} is preparing {job.media} media, has inputs of {job.prepared!r}, cost {job.worker_losses}"
    if (job.job in state.withdrawn_open) != (job.open is not None and job.version in state.withdrawn):
        yield f"job {job.job} is prepared for a withdrawn version and nobody knows, or the other way round"
    preparation = job.open
    if preparation is None:
        return
    node = state.nodes.get(preparation.node)
    if preparation.attempt or preparation.started or preparation.stop or preparation.members:
        yield f"job {job.job} is preparing, and what is open is an attempt"
    if node is None or node.session != preparation.session or node.cluster != preparation.cluster:
        yield f"job {job.job} is prepared at node {preparation.node}, whose session {preparation.session} is over"
    elif node.kind != PREPARE:
        yield f"job {job.job} is prepared at node {node.node}, which is no CPU worker"


def _attempt(state: State, job: Job, attempt: Attempt) -> Iterator[str]:
    if attempt.job != job.job or attempt.attempt != job.attempts:
        yield f"I5: job {job.job} has attempt {attempt.attempt} open of {job.attempts}"
    if job.state is not JobState.CANCELLING and attempt.started != (job.state is JobState.STARTED):
        yield f"job {job.job} is {job.state.value}, its attempt is {'' if attempt.started else 'not '}started"
    if job.state is JobState.CANCELLING and not attempt.stop:
        yield f"job {job.job} is being ended and nobody told node {attempt.node}"
    for name, session in _places(attempt):
        node = state.nodes.get(name)
        if node is None or node.session != session or node.cluster != attempt.cluster:
            yield f"job {job.job} is open at node {name}, whose session {session} is over"
    ranks = state.versions[job.version].requirements.ranks
    if len(attempt.members) != ranks - 1:
        yield f"job {job.job} needs {ranks} ranks and runs {1 + len(attempt.members)}: a gang is all or nothing"
    if bool(attempt.rendezvous) != (len({name for name, _ in _places(attempt)}) > 1):
        yield f"job {job.job} has the rendezvous {attempt.rendezvous!r}, which its nodes do not need, or lack"


def _places(attempt: Attempt) -> list[tuple[str, str]]:
    """Node and session of each rank."""
    return [(attempt.node, attempt.session), *((member.node, member.session) for member in attempt.members)]


def _dispatches(state: State) -> Iterator[str]:
    dispatches = Counter(job.open.dispatch for job in state.jobs.values() if job.open is not None)
    for dispatch, times in sorted(dispatches.items()):
        if times > 1:
            yield f"I15: dispatch {dispatch} is open {times} times"
        epoch, seq, _ = dispatch_order(dispatch)
        if epoch > state.epoch or seq > state.seq:
            yield f"I15: dispatch {dispatch} is of a record to come"


def _clusters(state: State) -> Iterator[str]:
    attempts = [job.open for job in state.jobs.values() if job.open is not None]
    for name, cluster in sorted(state.clusters.items()):
        there = {attempt.job: attempt for attempt in attempts if attempt.cluster == name}
        staged = {job: attempt for job, attempt in there.items() if not attempt.started}
        if cluster.open != there:
            yield f"I3: cluster {name} counts {len(cluster.open)} open attempts, there are {len(there)}"
        if cluster.staged != staged:
            yield f"I3: cluster {name} counts {len(cluster.staged)} in flight, there are {len(staged)}"
        slots = sum(node.usable for node in state.nodes.values() if node.cluster == name)
        if cluster.slots != slots:
            yield f"cluster {name} counts {cluster.slots} usable slots, there are {slots}"
        most = limit_of(state, name)
        adapts = cluster.adapted_lease_ms >= 0
        if not (0 < cluster.limit <= most if adapts else cluster.limit == most):
            yield f"cluster {name} has limit {cluster.limit}, the policy says {most}{' at most' if adapts else ''}"
        if not 0 <= cluster.behind < max(1, cluster.limit):
            yield f"cluster {name} stages behind others up to {cluster.behind}, its limit is {cluster.limit}"
        if cluster.staged_per_slot != staged_per_slot_of(state, name):
            yield f"cluster {name} stages {cluster.staged_per_slot} a slot, against the policy"
    for name in sorted({attempt.cluster for attempt in attempts} - state.clusters.keys()):
        yield f"I3: cluster {name} has open attempts and no record"


def _reserved(state: State) -> Iterator[str]:
    """One in a cluster and of a class, for a gang that waits. What ended or went in a batch whose plan was cut is
    released in the next."""
    classes = []
    for name, kept in sorted(state.reserved.items()):
        job = state.jobs.get(kept.job)
        if kept.cluster != name or name not in state.clusters:
            yield f"cluster {name} keeps slots of {kept.cluster}"
        if job is None:
            continue
        needs = state.versions[job.version].requirements
        classes.append(needs)
        if job.state is not JobState.QUEUED or not 1 < needs.ranks == len(kept.members):
            yield f"cluster {name} keeps {len(kept.members)} slots for job {job.job}: {job.state.value}, {needs.ranks}"
        for node in sorted({member.node for member in kept.members} & state.nodes.keys()):
            slots = state.nodes[node].slots
            if slots < sum(member.node == node for member in kept.members) or state.nodes[node].cluster != name:
                yield f"cluster {name} keeps more slots of node {node} than there are"
    if len(classes) != len(set(classes)):
        yield "slots are kept for two gangs of one class"


def _nodes(state: State) -> Iterator[str]:
    for name, node in sorted(state.nodes.items()):
        if not 0 <= node.usable <= node.slots:
            yield f"node {name} has {node.usable} usable slots of {node.slots}"
        if node.address != access.address_of(state, node.said_address):
            yield f"node {name} is reached at {node.address!r}, and said {node.said_address!r}"
        held = {
            job.job: job.open
            for job in state.jobs.values()
            if job.open is not None and (name, node.session) in _places(job.open)
        }
        if state.node_attempts.get(name) != held:
            yield f"node {name}: its open attempts are not those of the jobs"
    if state.node_attempts.keys() != state.nodes.keys():
        yield "nodes and their attempts are not of the same nodes"
    grouped = Counter(node for group in state.groups.values() for node in group.ids)
    if grouped != Counter(list(state.nodes)):
        yield "nodes are not each in one group"
    for key, group in sorted(state.groups.items()):
        yield from _group(state, key, group)


def _suspects(state: State) -> Iterator[str]:
    if len(state.suspects) > SUSPECTS_KEPT:
        yield f"{len(state.suspects)} nodes are suspected, {SUSPECTS_KEPT} are remembered"
    for name, suspect in state.suspects.items():
        if len(set(suspect.jobs)) != len(suspect.jobs) or len(suspect.jobs) > ACCUSERS:
            yield f"node {name} is accused by {len(suspect.jobs)} jobs, or by one twice"
        if suspect.case > state.cases:
            yield f"node {name} has a case that was never opened"
    watched = {node for _, node in state.trials}
    for name, suspect in state.suspects.items():
        if suspect.cordoned == FAILURES and suspect.rests_until_lease_ms > state.lease_ms and name not in watched:
            yield f"node {name} rests and will not be tried"


def _group(state: State, key: tuple[str, str, str, int, int], group: Group) -> Iterator[str]:
    members = [state.nodes[name] for name in group.ids if name in state.nodes]
    if group.ids != sorted(group.ids) or len(members) != len(group.ids):
        yield f"group {key}: its nodes are unsorted or gone"
        return

    def mask(nodes: Iterator[bool]) -> int:
        return sum(1 << place for place, holds in enumerate(nodes) if holds)

    def held(node: Node) -> int:
        attempts = state.node_attempts[node.node].values()
        return sum(place[0] == node.node for attempt in attempts for place in _places(attempt))

    def kept(node: Node) -> int:
        reservation = state.reserved.get(node.cluster)
        return reservation.members.count(Member(node.node, node.session)) if reservation is not None else 0

    def takes(node: Node) -> bool:
        return node.takes_new() and not is_cordoned(state, node.node)

    free = mask(takes(n) and held(n) + kept(n) < n.usable for n in members)
    only_kept = mask(takes(n) and held(n) < n.usable <= held(n) + kept(n) for n in members)
    workers = mask(not n.draining and n.usable > 0 and not is_cordoned(state, n.node) for n in members)
    tried = [
        n
        for n in members
        if (suspect := state.suspects.get(n.node)) is not None
        and suspect.cordoned == FAILURES
        and suspect.rests_until_lease_ms <= state.lease_ms
    ]
    trial = mask(n in tried and n.takes_new() and n.usable > 0 and not held(n) for n in members)
    most = 1 + group.cluster.staged_per_slot
    able = [
        n
        for n in members
        if takes(n)
        and not kept(n)
        and n.usable <= held(n) < n.usable * most
        and len(state.node_attempts[n.node]) < n.holds
    ]
    stageable = mask(n in able for n in members)
    parked = mask(held(n) > n.usable for n in members)
    if (group.able, group.trial) != (workers, trial):
        yield f"group {key}: which of its nodes are cordoned or can be tried is not what is held against them"
    if (group.free, group.kept, group.stageable, group.parked) != (free, only_kept, stageable, parked):
        yield f"group {key}: which of its nodes have room is not what their attempts and reservations say"
    levels = sorted({held(n) // n.usable - 1 for n in able})
    if group.levels != {
        level: mask(n in able and held(n) // n.usable - 1 == level for n in members) for level in levels
    }:
        yield f"group {key}: how much its nodes have staged is not what their attempts say"
    for what, masks in (("loaded", group.loaded), ("cached", group.cached)):
        versions = sorted({version for n in members for version in getattr(n, what)})
        if masks != {v: mask(v in getattr(n, what) for n in members) for v in versions}:
            yield f"group {key}: what its nodes have {what} is not what they said"
    if (group in state.preparing.requirement_class.groups) != (group.kind == PREPARE):
        yield f"group {key} prepares, or not, against its kind"
    for requirements, requirement_class in state.classes.items():
        if (group in requirement_class.groups) != fits(requirements, group):
            yield f"group {key} fits {requirements}, or not, against the record"


def _heaps(state: State) -> Iterator[str]:
    resting = set(state.resting)
    deadlines = set(state.deadlines)
    forecasts = set(state.forecasts)
    for job in state.jobs.values():
        rests = job.state is JobState.QUEUED and job.eligible_lease_ms > state.lease_ms
        if rests and (job.eligible_lease_ms, job.job) not in resting:
            yield f"job {job.job} rests and will not be woken"
        if job.due_ms and job.state is JobState.QUEUED and (job.due_ms, job.job) not in forecasts:
            yield f"job {job.job} has a forecast whose passing nobody notices"
        if job.due_ms and job.has_started:
            yield f"job {job.job} has started and still has a forecast"
        watched = job.expires_ms > 0 and job.state is not JobState.CANCELLING
        if watched and (job.expires_ms, job.job) not in deadlines:
            yield f"job {job.job} has a deadline that nobody watches"
    for heap, name in (
        (state.resting, "resting"),
        (state.deadlines, "deadlines"),
        (state.forecasts, "forecasts"),
    ):
        if heap and heap[0][1] not in state.jobs:
            yield f"heap of {name} begins with a job that has ended"
