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

    def stage(self, event: said.JobDispatched) -> None:
        """One more attempt is staged. It must keep the limit, and name the limit and the staged attempts rightly."""
        self._staged[event.cluster] += 1
        staged = self._staged[event.cluster]
        entry = self._clusters.get(event.cluster)
        limit = self._adapted.get(event.cluster, entry.limit) if entry is not None else 0
        if staged > limit or (event.limit, event.staged) != (limit, staged):
            self._wrong(
                "I3",
                f"{staged} attempts of {event.cluster} are dispatched and not started, the limit in force is {limit};"
                f" the dispatch says {event.staged} and {event.limit}",
                event.job,
            )

    def unstage(self, cluster: str) -> None:
        """A staged attempt has started, or was closed before it started."""
        self._staged[cluster] -= 1
