"""The second book of limits: how many attempts of each cluster are dispatched and not started (I3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from contract import events as said
from contract.policy import Cluster, Policy


class LimitBook:
    """Told of policies, adapted limits and attempts; says what is wrong as (invariant, text, job)."""

    def __init__(self, wrong: Callable[[str, str, str], None]) -> None:
        self._wrong = wrong
        self._clusters: dict[str, Cluster] = {}
        self._adapted: dict[str, int] = {}
        """Limits in force that are not the policy's own, by cluster."""
        self._staged: Counter[str] = Counter()

    def adopt(self, policy: Policy) -> None:
        """A policy's own limits are in force."""
        self._clusters = policy.clusters
        self._adapted.clear()

    def adapt(self, event: said.LimitAdapted) -> None:
        """An adapted limit must be one that the policy allows."""
        entry = self._clusters.get(event.cluster)
        most = entry.limit if entry is not None else 0
        least = most if entry is None or not entry.adaptive else 1
        if not 1 <= least <= event.limit <= most:
            text = f"{event.cluster} gets limit {event.limit}, the policy allows {least} to {most} there"
            self._wrong("I3", text, "")
        self._adapted[event.cluster] = event.limit

    def stage(self, event: said.JobDispatched | said.PreparationOrdered, named: tuple[int, int]) -> None:
        """One more attempt is staged, or preparation open. It must keep the limit. `named`: the limit, and how many
        there are, as the event says."""
        self._staged[event.cluster] += 1
        staged = self._staged[event.cluster]
        entry = self._clusters.get(event.cluster)
        limit = self._adapted.get(event.cluster, entry.limit) if entry is not None else 0
        if staged > limit or named != (limit, staged):
            self._wrong(
                "I3",
                f"{staged} attempts of {event.cluster} are dispatched and not started, the limit in force is {limit};"
                f" the dispatch says {named[1]} and {named[0]}",
                event.job,
            )

    def unstage(self, cluster: str) -> None:
        """A staged attempt has started, or was closed before it started; or a preparation is over."""
        self._staged[cluster] -= 1
