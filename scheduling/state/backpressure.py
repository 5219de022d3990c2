"""How many attempts a cluster may hold that are dispatched and not started.

The number in flight is derived: it is how many open attempts of the cluster have not started. There is no counter to
go wrong: whatever closes an attempt (a report, a recall, a lapsed lease) frees the attempt's place.

Seams: `in_flight`, `stages`.
"""

from __future__ import annotations

from scheduling.state.nodes import ClusterState, Group


def in_flight(cluster: ClusterState) -> int:
    """Attempts of the cluster that are dispatched and not started."""
    return len(cluster.staged)


def takes_work(cluster: ClusterState) -> bool:
    """One more attempt may be dispatched to the cluster now. (Limit 0: the policy in force has no such cluster.)"""
    return not cluster.draining and in_flight(cluster) < cluster.limit


def stages(cluster: ClusterState) -> bool:
    """One more attempt may now be sent there to wait behind running ones. The last place of a limit is never used so:
    it is for a slot that becomes free."""
    return not cluster.draining and in_flight(cluster) < cluster.behind


def took_last_behind(cluster: ClusterState) -> bool:
    """The last dispatch to the cluster took its last place behind others."""
    return in_flight(cluster) == cluster.behind


def room(group: Group) -> int:
    """The nodes of the group that could take one more attempt now, as a mask: a free slot, a try, or a place behind
    others."""
    cluster = group.cluster
    if not takes_work(cluster):
        return 0
    return group.free | group.trial | (group.stageable if stages(cluster) else 0)
