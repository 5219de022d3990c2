"""Whose word counts, who is named, and which machines may join, in the auditor's books (S4, I10).

An input is void when the policy in force at its place in `jobs` revokes its signer: nothing may rest on it. The other
rules never see a void input, so whatever rests on one rests on nothing.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.node_rules import Event, NodeRules
from tests.simulation.pages import Moment, NodeBook
from tests.simulation.violation import Violation

ACCESS = ("trusted_models", "isolation", "networks", "gang_network", "join_tokens", "revoked")
REFUSALS = ("revoked", "no_token", "not_confined")
ASKED = {
    "PolicyAdopted": (("PolicyApplied",), ("fingerprint",)),
    "PoolHeld": (("HoldRequested",), ()),
    "PoolReleased": (("ReleaseRequested",), ()),
    "ClusterDraining": (("ClusterDrainRequested",), ("cluster", "deadline_ms")),
    "ClusterReturned": (("ClusterActivated",), ("cluster",)),
    "NodeCordoned": (("NodeCordonRequested",), ("node",)),
    "NodeUncordoned": (("NodeUncordonRequested",), ("node",)),
    "VersionWithdrawn": (("WithdrawRequested",), ("version", "kill")),
    "AliasPointed": (("AliasMoved",), ("model", "alias", "version", "move")),
    "JobCancelling": (("CancelRequested", "EraseRequested"), ("job",)),
    "JobCancelled": (("CancelRequested", "EraseRequested"), ("job",)),
    "ErasureOrdered": (("EraseRequested",), ("job",)),
}
"""By event, what was asked for, and which fields are the same in both."""
OF_ITSELF = ("failures", "success", "needed", "expired", "version_withdrawn")


class AccessRules(NodeRules):
    def __init__(self) -> None:
        super().__init__()
        self.refusals: dict[str, int] = {}
        """How often a machine was refused, by reason."""
        self.put_out = 0
        self._former: dict[str, tuple[str, str]] = {}
        """The cluster and identity of nodes that have left."""

    # -- void inputs --------------------------------------------------------------------------------------------

    def find_void(self, moment: Moment) -> None:
        policy = self.policy
        adopted = [(e["fingerprint"], e["revert_jobs"]) for e in moment.events if e["type"] == "PolicyAdopted.v1"]
        for entry in moment.inputs:
            body = entry["body"]
            if self._speaker_of(entry) in policy.get("revoked", ()):
                moment.void.add(entry["offset"])
            elif (body.get("fingerprint"), body.get("revert_jobs")) in adopted:
                policy = body["policy"]

    def _speaker_of(self, entry: dict[str, Any]) -> str:
        body = entry["body"]
        if entry.get("signer") or "session" not in body:
            return str(entry.get("signer", ""))
        known = self.nodes.get(body["node"])
        cluster = body.get("cluster") or (known.cluster if known is not None else "")
        return self._signer(cluster, body["node"])

    def _signer(self, cluster: str, node: str) -> str:
        return f"node.{cluster}/{node}"

    def _is_revoked(self, node: NodeBook) -> bool:
        return self._signer(node.cluster, node.node) in self.policy["revoked"]

    # -- actors -------------------------------------------------------------------------------------------------

    def check_actor(self, event: Event, moment: Moment) -> None:
        name = event["type"].partition(".")[0]
        if name not in ASKED:
            return
        kinds, fields = ASKED[name]
        actors = {
            entry.get("signer", "") + (f":{by}" if (by := entry["body"].get("by")) else "")
            for entry in moment.inputs
            if entry["offset"] not in moment.void
            and entry["body"]["type"].partition(".")[0] in kinds
            and all(entry["body"].get(field) == event.get(field) for field in fields)
        }
        if event.get("reason") in OF_ITSELF or (name == "JobCancelled" and self.is_cancelling(event["job"])):
            actors = {""}
        if event.get("actor", "") not in actors:
            raise Violation("I10", f"{name} names {event.get('actor')!r} as actor, {sorted(actors)} asked for it")

    def is_cancelling(self, job: str) -> bool:
        """Who asked for the job's end was said before."""
        raise NotImplementedError

    # -- machines -----------------------------------------------------------------------------------------------

    def _joins(self, event: Event, moment: Moment) -> list[dict[str, Any]]:
        return [
            entry
            for entry in moment.inputs
            if entry["body"]["type"] == "NodeJoined.v1" and entry["body"]["session"] == event["session"]
        ]

    def _wrong_with(self, entry: dict[str, Any], moment: Moment) -> str:
        """Why the policy in force does not let this machine in; empty when it does."""
        body = entry["body"]
        if self._speaker_of(entry) in self.policy["revoked"]:
            return "revoked"
        known = self.nodes.get(body["node"])
        here = (known.cluster, known.identity) if known is not None else self._former.get(body["node"])
        is_new = here != (body["cluster"], body["identity"])
        if self.policy["join_tokens"] and is_new and entry.get("token_until_ms", 0) < entry["at_ms"]:
            return "no_token"
        return "not_confined" if body.get("layers_missing") and not self.policy["trusted_models"] else ""

    def _NodeAdmitted(self, event: Event, moment: Moment) -> None:
        wrong = [self._wrong_with(entry, moment) for entry in self._joins(event, moment)]
        if all(wrong):
            raise Violation("S4", f"{event['node']} was admitted, and should be refused as {wrong}")
        if (old := self.nodes.get(event["node"])) is not None:
            self._leaves(old)
        super()._NodeAdmitted(event, moment)

    def _NodeRefused(self, event: Event, moment: Moment) -> None:
        reason = event["reason"]
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        if reason in REFUSALS and reason not in [self._wrong_with(e, moment) for e in self._joins(event, moment)]:
            raise Violation("S4", f"{event['node']} was refused as {reason}, which it is not")
        super()._NodeRefused(event, moment)

    def _leaves(self, node: NodeBook) -> None:
        self._former[node.node] = (node.cluster, node.identity)

    def _NodeLost(self, event: Event, moment: Moment) -> None:
        self._leaves(self._node(event))
        super()._NodeLost(event, moment)

    def _NodeDeparted(self, event: Event, moment: Moment) -> None:
        node = self._node(event)
        left = any(body["session"] == node.session for body in moment.bodies("NodeLeft"))
        if not left and not any(body["node"] == node.node for body in moment.bodies("NodeJoined")):
            if not self._is_revoked(node):
                raise Violation("S4", f"{node.node} was put out, and nobody revoked it")
            self.put_out += 1
        self._leaves(node)
        super()._NodeDeparted(event, moment)

    def _NodeDrained(self, event: Event, moment: Moment) -> None:
        node = self._node(event)
        if event.get("reason") == "not_confined" and (not node.layers_missing or self.policy["trusted_models"]):
            raise Violation("S4", f"{node.node} drains for its layers, and needs none")
        super()._NodeDrained(event, moment)

    def check_node(self, node: NodeBook, job: str) -> None:
        """Whether the node may be sent a job."""
        if self._is_revoked(node):
            raise Violation("S4", f"sent to {node.node}, which is revoked", job)
        if node.layers_missing and not self.policy["trusted_models"]:
            raise Violation("S4", f"sent to {node.node}, which lacks {node.layers_missing}", job)

    def check_revoked(self, event: Event, node: str) -> None:
        """An attempt is closed as revoked because its node is."""
        if not self._is_revoked(self.nodes[node]):
            raise Violation("S4", f"closed because {node} is revoked, which it is not", event["job"])

    def check_access(self, moment: Moment) -> None:
        """What must hold between two records."""
        for node in self.nodes.values() if moment.decides and self.policy else ():
            if self._is_revoked(node):
                raise Violation("S4", f"{node.node} is revoked and still here")
            if node.layers_missing and not node.draining and not self.policy["trusted_models"]:
                raise Violation("S4", f"{node.node} takes work and lacks {node.layers_missing}")

    # -- policies -----------------------------------------------------------------------------------------------

    def _PolicyAdopted(self, event: Event, moment: Moment) -> None:
        if event["revert_jobs"]:
            self._check_trial(event)
        else:
            self._check_fresh(event, moment)
        super()._PolicyAdopted(event, moment)

    def _PolicyReverted(self, event: Event, moment: Moment) -> None:
        self._check_trial(event)
        super()._PolicyReverted(event, moment)

    def _check_fresh(self, event: Event, moment: Moment) -> None:
        """An old record that somebody copied gives nobody back what was taken."""
        changed = [field for field in ACCESS if self.policy and event["policy"][field] != self.policy[field]]
        asked = [e for e in moment.counted if e["body"].get("fingerprint") == event["fingerprint"]]
        if changed and not any(not e.get("signer") or e["at_ms"] <= e["body"]["until_ms"] for e in asked):
            raise Violation("S4", f"an old policy changes {changed}")

    def _check_trial(self, event: Event) -> None:
        for field in ACCESS if self.policy else ():
            if event["policy"][field] != self.policy[field]:
                raise Violation("S4", f"a trial changes {field}")
