"""Policies with room for what a test dispatches, and which jobs were dispatched."""

from __future__ import annotations

from contract.events import JobDispatched
from contract.policy import Cluster, Policy, Tier
from tests.unit.scheduling.specification import POLICY, Pool, only


def roomy(limit: int = 100, **tiers: int) -> Policy:
    """The policy with these limits, and with tiers of these SLOs where any are given."""
    slos = {name: Tier(slo_ms) for name, slo_ms in tiers.items()} or POLICY.tiers
    clusters = {"east": Cluster("main", limit), "west": Cluster("main", limit)}
    return Policy(slos, POLICY.pools, clusters, discipline="wait_fraction", may_starve=True)


def picked(pool: Pool) -> list[str]:
    """The jobs that the last batch dispatched, in order."""
    return [event.job for event in only(pool.events, JobDispatched)]


def with_east(limit: int, staged_per_slot: int = 1) -> Policy:
    """The policy with the cluster `east` alone."""
    return Policy(POLICY.tiers, POLICY.pools, {"east": Cluster("main", limit, staged_per_slot=staged_per_slot)})
