"""What is held against nodes, and which nodes are cordoned (design section 4, decision 0027). Part of `evolve`.

A job that failed on a node and then succeeded on another one accuses the node. Whatever fails everywhere, on purpose or
by its version, succeeds nowhere, so it accuses nobody. A success on the node closes the case against it: earlier
failures there accuse it no longer. A node that ACCUSERS jobs accuse is to be cordoned (`plan`). A cordoned node gets
one job at a time, which tries it, and rests after each try that failed.

Seams: `saw_success`, `rest_ms`.
"""

from __future__ import annotations

from heapq import heappop, heappush

from scheduling.state import capacity
from scheduling.state.avoidance import AVOIDED_MAX
from scheduling.state.gang_members import node_shares
from scheduling.state.jobs import AvoidedNode, Job
from scheduling.state.nodes import FAILURES, Attempt, Suspect
from scheduling.state.pool import State

ACCUSERS = 3
"""So many different jobs must accuse a node (design section 4)."""
SUSPECTS_KEPT = 10_000
"""As many nodes as pasts (node_events.PAST_NODES_KEPT)."""
REST_DOUBLINGS_MAX = 5
"""A cordoned node rests for one lease (30 s) after it was cordoned, then for twice that, to 16 minutes at most: each
try may cost a user a whole run."""


def saw_failure(state: State, job: Job, attempt: Attempt, node: str, *, accuses: bool) -> None:
    """An attempt of the job failed on the node. The job will avoid the node. `accuses`: the node reported the failure,
    and is not cordoned."""
    case = 0
    suspect = state.suspects.get(node)
    if suspect is not None and suspect.cordoned:
        suspect.tries += 1
        rest(state, node, suspect)
    elif accuses:
        suspect = suspect or _open(state, node, attempt.cluster)
        case = suspect.case
    others = tuple(avoided for avoided in job.avoid if avoided.node != node)
    job.avoid = (*others, AvoidedNode(node, case))[-AVOIDED_MAX:]


def _open(state: State, node: str, cluster: str) -> Suspect:
    state.cases += 1
    suspect = state.suspects[node] = Suspect(cluster, state.cases)
    if len(state.suspects) > SUSPECTS_KEPT:
        names = iter(state.suspects)
        oldest = next((name for name in names if not state.suspects[name].cordoned), next(iter(state.suspects)))
        del state.suspects[oldest]
    return suspect


def saw_success(state: State, job: Job, attempt: Attempt) -> None:
    """An attempt of the job succeeded: nothing is held against its nodes, and the job accuses the other nodes on which
    it failed."""
    if not state.suspects:
        return
    nodes = {share.node for share in node_shares(attempt)}
    for avoided in job.avoid:
        suspect = state.suspects.get(avoided.node)
        if suspect is None or avoided.node in nodes or suspect.cordoned or suspect.case != avoided.case:
            continue
        if job.job not in suspect.jobs:
            suspect.jobs = (*suspect.jobs, job.job)[:ACCUSERS]
    for node in sorted(nodes):
        suspect = state.suspects.get(node)
        if suspect is not None and not suspect.cordoned:
            del state.suspects[node]


def rest_ms(state: State, tries: int) -> int:
    """How much lease time passes before a job tries the cordoned node, after so many tries that failed."""
    lease_ms = state.policy.node_lease_ms if state.policy is not None else 0
    return lease_ms << min(tries, REST_DOUBLINGS_MAX)


def rest(state: State, node: str, suspect: Suspect) -> None:
    suspect.rests_until_lease_ms = state.lease_ms + rest_ms(state, suspect.tries)
    watch(state, node, suspect)


def watch(state: State, node: str, suspect: Suspect) -> None:
    """The node may be tried once it has rested."""
    if suspect.cordoned == FAILURES:
        heappush(state.trials, (suspect.rests_until_lease_ms, node))


def wake(state: State) -> None:
    """Lease time went on: nodes that have rested may be tried."""
    while state.trials and state.trials[0][0] <= state.lease_ms:
        _look_again(state, heappop(state.trials)[1])


def cordon(state: State, node: str, cluster: str, reason: str, jobs: tuple[str, ...]) -> None:
    suspect = state.suspects.get(node) or _open(state, node, cluster)
    suspect.cordoned, suspect.jobs = reason, jobs
    rest(state, node, suspect)
    _look_again(state, node)


def uncordon(state: State, node: str) -> None:
    del state.suspects[node]
    _look_again(state, node)


def _look_again(state: State, name: str) -> None:
    node = state.nodes.get(name)
    if node is not None:
        capacity.refresh(state, node)
