"""What the events of nodes, clusters and policy presuppose, and what they change in the auditor's books (I12, I16)."""

from __future__ import annotations

from typing import Any

from tests.simulation.pages import Moment, NodeBook
from tests.simulation.violation import Violation

Event = dict[str, Any]


class NodeRules:
    """Each method is named after the event that it judges."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeBook] = {}
        self.draining_clusters: dict[str, int] = {}
        self.policy: dict[str, Any] = {}
        self._before: dict[str, Any] = {}
        """The policy that comes back when the policy in force misses its bound; empty: there is no bound."""
        self.deaf_now: set[str] = set()
        """Nodes that were called deaf in this batch, and what showed it is still to come."""
        self.held_by_operator = False
        self.lost_now: list[tuple[str, str]] = []
        self.requirements: dict[str, dict[str, Any]] = {}
        self.prepares: dict[str, str] = {}
        """By which rules media are prepared for each version; empty: it takes none."""
        self.aliases: dict[tuple[str, str], str] = {}
        self.withdrawn: dict[str, bool] = {}
        """Versions that must not run any more; True: not even what runs may go on."""
        self._moves: dict[tuple[str, str], int] = {}
        self.stale = 0

    def fits(self, node: NodeBook, version: str) -> bool:
        """Whether a slot of the node can run the version."""
        needs = self.requirements[version]
        return (
            node.kind == "run"
            and node.chipset in needs["chipsets"]
            and (node.chipset == "cpu" or node.gpus >= needs["gpus"])
            and node.memory_mib >= needs["memory_mib"]
        )

    def _NodeAdmitted(self, event: Event, moment: Moment) -> None:
        join = next((j for j in moment.bodies("NodeJoined") if j["session"] == event["session"]), None)
        if join is None:
            raise Violation("I16", f"{event['node']} was admitted without a join")
        old = self.nodes.get(event["node"])
        if old is not None and old.identity != join["identity"]:
            raise Violation("S4", f"{event['node']} was admitted twice: another machine with this name is alive")
        kind = event.get("kind", "run")
        if kind != join.get("kind", "run") or kind != self.policy["clusters"][event["cluster"]]["kind"]:
            raise Violation("S4", f"{event['node']} was admitted as {kind}, which is not the kind of its cluster")
        self.nodes[event["node"]] = NodeBook(
            event["node"],
            event["session"],
            event["cluster"],
            event["chipset"],
            event["slots"],
            event["gpus"],
            event["memory_mib"],
            cached=tuple(event["cached"]),
            address=event.get("address", ""),
            heard_lease_ms=moment.lease_ms,
            holds=join["holds"],
            identity=join["identity"],
            usable=event["slots"],
            layers_missing=tuple(join.get("layers_missing", ())),
            kind=kind,
        )

    def _node(self, event: Event) -> NodeBook:
        node = self.nodes.get(event["node"])
        if node is None or node.session != event["session"]:
            raise Violation("I10", f"{event['type']} of a session that is not admitted: {event['session']}")
        return node

    def _NodeHeard(self, event: Event, moment: Moment) -> None:
        if not any(beat["session"] == event["session"] for beat in moment.bodies("NodeHeartbeat")):
            raise Violation("I10", f"{event['session']} counts as heard, and sent no heartbeat in this batch")
        self._node(event).heard_lease_ms = moment.lease_ms

    def _NodeVersionsChanged(self, event: Event, moment: Moment) -> None:
        node = self._node(event)
        node.loaded, node.cached = tuple(event["loaded"]), tuple(event["cached"])

    def _NodeSlotsChanged(self, event: Event, moment: Moment) -> None:
        node = self._node(event)
        said = {(b.get("usable", -1), b.get("holding", "")) for b in moment.bodies("NodeHeartbeat")}
        usable = -1 if event["usable"] == node.slots else event["usable"]
        if (usable, event.get("holding", "")) not in said:
            raise Violation("I10", f"{event['node']} did not say {event['usable']} {event.get('holding', '')!r}")
        node.usable, node.holding = event["usable"], event.get("holding", "")

    def _NodeRefused(self, event: Event, moment: Moment) -> None:
        if event["reason"] not in ("name_taken", "wrong_kind"):
            return
        join = next(j for j in moment.bodies("NodeJoined") if j["session"] == event["session"])
        if event["reason"] == "wrong_kind":
            if join.get("kind", "run") == self.policy["clusters"][join["cluster"]]["kind"]:
                raise Violation("S4", f"{event['node']} is refused as of the wrong kind, which it is not")
            return
        old = self.nodes.get(event["node"])
        if old is None or old.identity == join["identity"]:
            raise Violation("S4", f"{event['node']} is refused its own name")

    def _NodeDrained(self, event: Event, moment: Moment) -> None:
        self._node(event).draining = True
        if event.get("reason", "") == "deaf":
            self.deaf_now.add(event["node"])

    def _PoolHeld(self, event: Event, moment: Moment) -> None:
        self.held_by_operator = True

    def _PoolReleased(self, event: Event, moment: Moment) -> None:
        self.held_by_operator = False

    def _NodeDeparted(self, event: Event, moment: Moment) -> None:
        self._node(event)
        del self.nodes[event["node"]]

    def _NodeLost(self, event: Event, moment: Moment) -> None:
        node = self._node(event)
        silent_ms = moment.lease_ms - node.heard_lease_ms
        if silent_ms < self.policy["node_lease_ms"]:
            raise Violation("I16", f"{event['node']} was given up after {silent_ms} ms of lease time")
        del self.nodes[event["node"]]
        self.lost_now.append((event["node"], event["session"]))

    def _ClusterDraining(self, event: Event, moment: Moment) -> None:
        self.draining_clusters[event["cluster"]] = event["deadline_ms"]

    def _ClusterReturned(self, event: Event, moment: Moment) -> None:
        self.draining_clusters.pop(event["cluster"], None)

    def _PolicyAdopted(self, event: Event, moment: Moment) -> None:
        self._before = self.policy if event["revert_jobs"] else {}
        self._adopt(event)

    def _PolicyReverted(self, event: Event, moment: Moment) -> None:
        if event["policy"] != self._before or not self._before:
            raise Violation("I10", "a policy came back that was not the one before, or had no bound to keep")
        self._before = {}
        self._adopt(event)

    def _adopt(self, event: Event) -> None:
        for name in event["policy"]["clusters"].keys() - self.policy.get("clusters", {}).keys():
            self.draining_clusters.pop(name, None)
        for name, cluster in event["policy"]["clusters"].items():
            before = self.policy.get("clusters", {}).get(name, cluster)["kind"]
            there = {node.kind for node in self.nodes.values() if node.cluster == name}
            if not {before, *there} <= {cluster["kind"]}:
                raise Violation("S4", f"{name} becomes of kind {cluster['kind']}, and has nodes of another kind")
        self.policy = event["policy"]
        self.limits = {name: cluster["limit"] for name, cluster in self.policy["clusters"].items()}
        self.behind = {name: limit - 1 for name, limit in self.limits.items()}

    def _LimitAdapted(self, event: Event, moment: Moment) -> None:
        entry = self.policy["clusters"][event["cluster"]]
        limit, behind = event["limit"], event.get("behind", 0)
        if not 1 <= limit <= entry["limit"] or (limit < entry["limit"] and not entry["adaptive"]):
            raise Violation("I3", f"{event['cluster']} gets limit {limit}, against the policy")
        if not 0 <= behind < limit:
            raise Violation("I3", f"{event['cluster']} stages up to {behind} behind others, its limit is {limit}")
        self.limits[event["cluster"]], self.behind[event["cluster"]] = limit, behind

    def _VersionRegistered(self, event: Event, moment: Moment) -> None:
        known = self.requirements.setdefault(event["version"], event["requirements"])
        self.prepares.setdefault(event["version"], event.get("prepares", ""))
        if known != event["requirements"]:
            raise Violation("I12", f"version {event['version']} changed")

    def _VersionWithdrawn(self, event: Event, moment: Moment) -> None:
        asked = [(body["version"], body.get("kill", False)) for body in moment.bodies("WithdrawRequested")]
        if (event["version"], event["kill"]) not in asked:
            raise Violation("I12", f"version {event['version']} was withdrawn, and nobody asked for it in this batch")
        if self.withdrawn.get(event["version"], -1) >= event["kill"]:
            raise Violation("I10", f"version {event['version']} was withdrawn before")
        self.withdrawn[event["version"]] = event["kill"]

    def _AliasPointed(self, event: Event, moment: Moment) -> None:
        name = event["model"], event["alias"]
        if name in self._moves and event["move"] <= self._moves[name]:
            raise Violation("I10", f"alias {name} made move {event['move']} after {self._moves[name]}")
        self._moves[name] = event["move"]
        self.aliases[name] = event["version"]

    def _ReportStale(self, event: Event, moment: Moment) -> None:
        self.stale += 1
