"""The second book of avoidance: a job goes back to no node on which it failed while another node could run it.

A node could run the job sooner or later if it fits, does not drain, is not cordoned and has a usable slot, in a cluster
that takes work. Whether it holds off for now does not matter. Jobs of several ranks may go back, once nothing else can
be had.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping

from audit.verify.second_book_nodes import KnownNode
from contract import events as said
from contract.inputs import Requirements
from contract.policy import Policy


class AvoidanceBook:
    """Told of versions, policies and draining clusters; says what is wrong as (invariant, text, job)."""

    def __init__(
        self, nodes: Mapping[str, KnownNode], cordoned: Container[str], wrong: Callable[[str, str, str], None]
    ) -> None:
        self._nodes, self._cordoned, self._wrong = nodes, cordoned, wrong
        self._requirements: dict[str, Requirements] = {}
        self._clusters: frozenset[str] = frozenset()
        """Clusters of this pool, by the policy in force."""
        self._draining: set[str] = set()

    def register(self, event: said.VersionRegistered) -> None:
        self._requirements.setdefault(event.version, event.requirements)

    def adopt(self, policy: Policy, pool: str) -> None:
        """A cluster that the policy before did not have takes work, whatever was said of it earlier."""
        before = self._clusters
        self._clusters = frozenset(name for name, entry in policy.clusters.items() if entry.pool == pool)
        self._draining &= before & self._clusters

    def change_cluster(self, event: said.ClusterDraining | said.ClusterReturned) -> None:
        if isinstance(event, said.ClusterDraining):
            self._draining.add(event.cluster)
        else:
            self._draining.discard(event.cluster)

    def check(self, event: said.JobDispatched, version: str, failed_on: Collection[str]) -> None:
        """Judges a dispatch of a job that failed on these nodes before."""
        if event.node not in failed_on or event.members:
            return
        for name, node in self._nodes.items():
            if name not in failed_on and self._could_run(name, node, version):
                self._wrong("I11", f"sent to {event.node}, where it failed, and {name} could run it", event.job)
                return

    def _could_run(self, name: str, node: KnownNode, version: str) -> bool:
        if node.kind == "prepare" or node.draining or not node.usable or name in self._cordoned:
            return False
        if node.cluster not in self._clusters or node.cluster in self._draining:
            return False
        needs = self._requirements.get(version)
        return (
            needs is not None
            and node.chipset in needs.chipsets
            and (node.chipset == "cpu" or node.gpus >= needs.gpus)
            and node.memory_mib >= needs.memory_mib
        )
