"""The same arrivals, run times and machines under another policy, limit or capacity: what the waits would have been.

The real core simulates both sides, the policy in force too, so the sides differ only in what was changed. What really
happened stands beside them. `NOT_MODELLED` says what no side of the comparison knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from audit.ledger.damage import Damage
from contract.inputs import Body, PolicyApplied, Requirements, VersionPublished
from contract.policy import Cluster, Policy, fingerprint
from whatif.outcome import MachineUse, Outcome, machine_use, outcome_of, simulated_outcome
from whatif.recorded import Recorded
from whatif.simulation.arrivals import Arrivals, JobColumn
from whatif.simulation.machines import Fleet, Machine, together
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

RECORDED, IN_FORCE, CHANGED, SHADOW = "recorded", "in force", "changed", "shadow"
"""Columns: what really happened; the recorded policy, simulated; the changed policy, simulated; a candidate's
shadow."""

NOT_MODELLED = (
    "Failed, recalled and lost attempts, backoff, speeds of clusters: a job runs once, as long as when it succeeded.",
    "Jobs without a result (cancelled, expired, dead-lettered, still waiting), and the slots they held.",
    "Loads saved or added: they are part of the recorded run time, and change it only by --switch-cost.",
    "Scheduler or Kafka down; the time of orders, reports and fetches, unless --order and --fetch say so.",
    "Users who ask for more, or less, because waits are shorter or longer: the arrivals stay as they were.",
    "Ranks of a gang that start, or end, later than its first one.",
    "Preparations of media: each job comes to its line when it did in the pool, and its wait counts from before that.",
)
NOT_MODELLED_OF_A_TRACE = (
    "Failures, lost nodes, speeds of nodes: a job runs for as long as the trace says, on every node that fits.",
    "Nodes that come or go: they are there from beginning to end, one slot each, with nothing loaded at first.",
    *NOT_MODELLED[4:5],
)

TRACE_REQUIREMENTS = Requirements(("cuda",))


class NotComparable(ValueError):
    """The changes do not fit what was recorded. The message says expected, found and what to do."""


class ComparisonColumn(msgspec.Struct, frozen=True):
    name: str
    outcome: Outcome
    running: MachineUse | None
    """None for what really happened: nobody measured the machines."""


class WhatIf(msgspec.Struct, frozen=True):
    """The summary of a comparison."""

    pool: str
    jobs: int
    left_out: dict[str, int]
    changes: list[str]
    columns: list[ComparisonColumn]
    not_modelled: Sequence[str]
    damage: Damage | None = None


class Comparison(msgspec.Struct, frozen=True):
    """The summary, and what plot and diff are made of: by column the first start of each job, -1 without a start."""

    summary: WhatIf
    arrivals: Arrivals
    starts_ms: dict[str, JobColumn[int]]


class Changes(msgspec.Struct, frozen=True):
    """What is different on the changed side."""

    policy: Policy | None = None
    limits: dict[str, int] = {}
    """Limit by cluster."""
    slots: dict[str, int] = {}
    """Capacity by cluster, from the first join of a node there to the end."""

    def of(self, policy: Policy) -> Policy:
        """The policy that decides in place of `policy`. NotComparable when a limit names a cluster that it does not
        have."""
        return self.limited(self.policy or policy)

    def limited(self, policy: Policy) -> Policy:
        """This policy with the changed limits. NotComparable when a limit names a cluster that the policy does not
        have."""
        clusters = dict(policy.clusters)
        for name, limit in self.limits.items():
            clusters[name] = msgspec.structs.replace(cluster_of(policy, name, "--limit"), limit=limit)
        return msgspec.structs.replace(policy, clusters=clusters)

    def said(self) -> list[str]:
        """The changes in words."""
        words = []
        if self.policy is not None:
            words.append(f"policy {fingerprint(self.policy)[:19]}, discipline {self.policy.discipline}")
        words += [f"limit of {name}: {limit if limit < 10**9 else 'none'}" for name, limit in self.limits.items()]
        return words + [f"capacity of {name}: {slots} slots" for name, slots in self.slots.items()]


def cluster_of(policy: Policy, name: str, option: str) -> Cluster:
    """The cluster that an option names. NotComparable when the policy does not have it."""
    if name not in policy.clusters:
        known = ", ".join(sorted(policy.clusters))
        raise NotComparable(f"{option}: expected a cluster of the policy ({known}), found {name[:80]!r}")
    return policy.clusters[name]


def of_ledger(given: Recorded, changes: Changes, costs: Costs) -> Comparison:
    """Compares what was recorded with simulations of it, without and with the changes. NotComparable."""
    first, last = given.policies[0][1], given.policies[-1][1]
    other = changes.of(last)
    check_covers(other, given.arrivals.tiers.names, given.pool)
    operations = list(given.operations)
    adopted: list[tuple[int, Body]] = [
        (at_ms, PolicyApplied(policy, fingerprint(policy))) for at_ms, policy in given.policies[1:]
    ]
    sides = {
        IN_FORCE: Simulation(
            first,
            given.versions,
            given.arrivals,
            given.fleet,
            pool=given.pool,
            said=[*operations, *adopted],
            costs=costs,
        ).run(),
        CHANGED: Simulation(
            other,
            given.versions,
            given.arrivals,
            resized(given.fleet, changes.slots),
            pool=given.pool,
            said=operations,
            costs=costs,
        ).run(),
    }
    slos = {name: tier.slo_ms for _, policy in given.policies for name, tier in policy.tiers.items()}
    really = outcome_of(given.arrivals, given.start_ms, slos, max(given.end_ms))
    columns = [ComparisonColumn(RECORDED, really, None)]
    columns.append(ComparisonColumn(IN_FORCE, simulated_outcome(sides[IN_FORCE], slos), machine_use(sides[IN_FORCE])))
    columns.append(ComparisonColumn(CHANGED, simulated_outcome(sides[CHANGED]), machine_use(sides[CHANGED])))
    starts: dict[str, JobColumn[int]] = {RECORDED: given.start_ms}
    starts |= {name: side.site.start_ms for name, side in sides.items()}
    summary = WhatIf(
        given.pool,
        len(given.arrivals),
        given.left_out,
        [*changes.said(), *_slos_that_differ(slos, other)],
        columns,
        NOT_MODELLED,
        given.damage,
    )
    return Comparison(summary, given.arrivals, starts)


def of_trace(
    arrivals: Arrivals, policies: Mapping[str, Policy], pool: str, changes: Changes, costs: Costs
) -> Comparison:
    """Simulates a trace under each of the policies, by name. Each cluster of the pool has the slots that `changes`
    says. NotComparable."""
    columns: list[ComparisonColumn] = []
    starts: dict[str, JobColumn[int]] = {}
    for name, policy in policies.items():
        check_covers(policy, arrivals.tiers.names, pool)
        fleet = _fleet_of(policy, pool, changes.slots)
        simulation = Simulation(policy, versions_of(arrivals), arrivals, fleet, pool=pool, costs=costs).run()
        columns.append(ComparisonColumn(name, simulated_outcome(simulation), machine_use(simulation)))
        starts[name] = simulation.site.start_ms
    summary = WhatIf(pool, len(arrivals), {}, changes.said(), columns, NOT_MODELLED_OF_A_TRACE)
    return Comparison(summary, arrivals, starts)


def versions_of(arrivals: Arrivals) -> dict[str, VersionPublished]:
    """One version of each model of a trace."""
    return {
        model: VersionPublished(model, f"sha256:{number:064x}", TRACE_REQUIREMENTS, 31 * 86_400_000)
        for number, model in enumerate(arrivals.models.names)
    }


def resized(fleet: Fleet, slots: Mapping[str, int]) -> Fleet:
    """The fleet with other capacities: `slots` by cluster, on nodes like the cluster's first node, from its join on.
    NotComparable when a cluster never had a node."""
    kept = Fleet()
    firsts: dict[str, tuple[int, Machine]] = {}
    clusters: dict[str, str] = {}
    for move in fleet.in_order():
        if move.machine is not None:
            clusters[move.node] = move.machine.cluster
            firsts.setdefault(move.machine.cluster, (move.at_ms, move.machine))
        if clusters[move.node] not in slots:
            kept.moves.append(move)
    made = [kept]
    for cluster, count in slots.items():
        if cluster not in firsts:
            known = ", ".join(sorted(firsts)) or "none"
            raise NotComparable(f"--capacity: expected a cluster that had a node ({known}), found {cluster[:80]!r}")
        at_ms, machine = firsts[cluster]
        made.append(_nodes(at_ms, machine, count))
    return together(*made)


def _nodes(at_ms: int, like: Machine, slots: int) -> Fleet:
    fleet = Fleet()
    for number, first in enumerate(range(0, slots, like.slots)):
        name = f"{like.cluster}.{number:05}"
        fleet.join(at_ms, msgspec.structs.replace(like, node=name, slots=min(like.slots, slots - first)))
    return fleet


def _fleet_of(policy: Policy, pool: str, slots: Mapping[str, int]) -> Fleet:
    for name in slots:
        cluster_of(policy, name, "--capacity")
    mine = [name for name, cluster in sorted(policy.clusters.items()) if cluster.pool == pool]
    missing = [name for name in mine if name not in slots]
    if missing or not mine:
        raise NotComparable(
            f"a trace says nothing of machines: expected --capacity CLUSTER=SLOTS for each cluster of pool {pool},"
            f" found none for {', '.join(missing) or 'any: the policy has no cluster there'}"
        )
    return together(*(_nodes(0, Machine("", name), slots[name]) for name in mine if slots[name]))


def check_covers(policy: Policy, tiers: Iterable[str], pool: str) -> None:
    """NotComparable when the policy lacks the pool or one of these tiers."""
    if pool not in policy.pools:
        raise NotComparable(
            f"expected pool {pool} in the policy, found {', '.join(sorted(policy.pools))}; name it by --pool"
        )
    missing = sorted(set(tiers) - set(policy.tiers))
    if missing:
        raise NotComparable(
            f"expected every tier of the jobs in the policy, found none called {', '.join(missing)};"
            " add it to the document, else its jobs would all be refused"
        )


def _slos_that_differ(slos: Mapping[str, int], other: Policy) -> list[str]:
    return [
        f"SLO of {name}: {other.tiers[name].slo_ms / 1000:g} s in place of {slo_ms / 1000:g} s;"
        " each side is judged by its own"
        for name, slo_ms in sorted(slos.items())
        if name in other.tiers and other.tiers[name].slo_ms != slo_ms
    ]
