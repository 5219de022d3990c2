"""The second book of access: who asked for what, whose word still counts, and which machines may join and get work.

From rules 5 on each event that somebody asked for names its actor, and what a signer says whom the policy in force
revokes leads to nothing. What nodes say is judged by the node's own name: no door takes another's word for it.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import msgspec

from audit.verify.second_book_nodes import NodeBook
from contract import events as said
from contract import inputs as heard
from contract.batch import Batch
from contract.inputs import Input
from contract.policy import ACCESS, Policy

RULES_WITH_ACCESS = 5
FRESH_MS = 24 * 3_600_000
"""How long before its end a policy may change who may do what."""
FORMER_NODES_MAX = 10_000
"""Nodes that have left and need no token when they come back."""

_ASKED: dict[type, tuple[tuple[type, tuple[str, ...]], ...]] = {
    said.PolicyAdopted: ((heard.PolicyApplied, ("fingerprint",)),),
    said.PoolHeld: ((heard.HoldRequested, ()),),
    said.PoolReleased: ((heard.ReleaseRequested, ()),),
    said.ClusterDraining: ((heard.ClusterDrainRequested, ("cluster", "deadline_ms")),),
    said.ClusterReturned: ((heard.ClusterActivated, ("cluster",)),),
    said.NodeCordoned: ((heard.NodeCordonRequested, ("node",)),),
    said.NodeUncordoned: ((heard.NodeUncordonRequested, ("node",)),),
    said.VersionWithdrawn: ((heard.WithdrawRequested, ("model", "version", "kill")),),
    said.AliasPointed: ((heard.AliasMoved, ("model", "alias", "version", "move")),),
    said.JobCancelling: ((heard.CancelRequested, ("job",)), (heard.EraseRequested, ("job",))),
    said.JobCancelled: ((heard.CancelRequested, ("job",)), (heard.EraseRequested, ("job",))),
    said.ErasureOrdered: ((heard.EraseRequested, ("job",)),),
    said.JobErased: ((heard.ErasureCompleted, ("job",)),),
}
"""By event, what somebody has to have said in the same batch, with the fields that are the same in both."""
_OF_ITSELF = ("failures", "success", "needed", "expired", "version_withdrawn")
"""Reasons for which the rules say such an event, and nobody asked."""
_BY_REPORT = ("recalled", "killed", "drained", "unclaimed", "pre_empted", "overtaken", "rejoined")
"""Why an attempt is closed when its node says something."""
_BY_WORKER = ("drained", "unclaimed", "outage", "rejoined")
"""Why a preparation is closed when its node says something."""


class AccessBook:
    """Told of each event before the other books change; says what is wrong as (invariant, text, job)."""

    def __init__(self, nodes: NodeBook, wrong: Callable[[str, str, str], None]) -> None:
        self._nodes, self._wrong = nodes, wrong
        self.rules = 0
        """Of the scheduler that leads."""
        self._policy: Policy | None = None
        self._layers: dict[str, tuple[str, ...]] = {}
        """By node that is here: the layers that are missing there."""
        self._former: dict[str, tuple[str, str]] = {}
        """By node that has left, the one that left first coming first: its cluster and identity."""
        self._places: dict[str, tuple[str, ...]] = {}
        """By open dispatch: its nodes, that of rank 0 first."""
        self._cancelling: set[str] = set()
        self._batch: Batch | None = None
        self._takes: dict[type, Callable[[Any], None]] = {
            said.PolicyAdopted: self._adopted,
            said.PolicyReverted: self._reverted,
            said.NodeAdmitted: self._admitted,
            said.NodeRefused: self._refused,
            said.NodeHeard: self._spoke,
            said.NodeVersionsChanged: self._spoke,
            said.NodeSlotsChanged: self._spoke,
            said.NodeDrained: self._drained,
            said.NodeDeparted: self._left,
            said.NodeLost: self._left,
            said.JobDispatched: self._dispatched,
            said.AttemptStarted: self._reported,
            said.JobSucceeded: self._reported,
            said.AttemptFailed: self._reported,
            said.AttemptClosed: self._closed,
            said.PreparationOrdered: self._prepares,
            said.InputsPrepared: self._prepared,
            said.InputsRefused: self._prepared,
            said.PreparationClosed: self._preparation_closed,
            said.JobCancelling: self._cancels,
            said.JobCancelled: self._ended,
            said.JobExpired: self._ended,
        }

    def take(self, batch: Batch, event: said.Event) -> None:
        self._batch = batch
        if self.rules >= RULES_WITH_ACCESS and type(event) in _ASKED:
            self._check_actor(batch, event)
        take = self._takes.get(type(event))
        if take is not None:
            take(event)

    def _find(self, invariant: str, text: str, job: str = "") -> None:
        """Schedulers of earlier rules had none of this."""
        if self.rules >= RULES_WITH_ACCESS:
            self._wrong(invariant, text, job)

    # -- who asked ----------------------------------------------------------------------------------------------

    def _check_actor(self, batch: Batch, event: Any) -> None:
        """The actor is one who asked for this in the batch, and whose word counted at that moment."""
        name, job = type(event).__name__, getattr(event, "job", "")
        is_second = isinstance(event, said.JobCancelled) and job in self._cancelling
        actor = getattr(event, "actor", "")
        if is_second or getattr(event, "reason", "") in _OF_ITSELF:
            if actor:
                self._find("I10", f"{name} names {actor} as actor, and nobody asked for it", job)
            return
        asked = [given for given in batch.inputs if _asks_for(given, event)]
        if not asked:
            self._find("I10", f"{name}, and nobody asked for it in this batch", job)
        elif all(self._is_revoked(given.signer) for given in asked):
            self._find("I10", f"{name}, asked for by {asked[0].signer}, which is revoked", job)
        elif hasattr(event, "actor") and actor not in self._actors(asked):
            self._find("I10", f"{name} names {actor or 'nobody'} as actor, who did not ask for it", job)

    def _actors(self, asked: list[Input]) -> Container[str]:
        counted = [(given.signer, getattr(given.body, "by", "")) for given in asked]
        return {f"{signer}:{by}" if by else signer for signer, by in counted if not self._is_revoked(signer)}

    def _cancels(self, event: said.JobCancelling) -> None:
        self._cancelling.add(event.job)

    def _ended(self, event: said.JobCancelled | said.JobExpired) -> None:
        self._cancelling.discard(event.job)

    # -- policies -----------------------------------------------------------------------------------------------

    def _is_revoked(self, signer: str) -> bool:
        return self._policy is not None and signer in self._policy.revoked

    def _adopted(self, event: said.PolicyAdopted) -> None:
        before = self._policy
        self._change(event.policy, on_trial=event.revert_jobs > 0)
        changed = [f for f in ACCESS if before is not None and getattr(before, f) != getattr(event.policy, f)]
        if changed and not self._is_fresh(event):
            self._find("I10", f"a policy that was made long ago changes {changed[0]}")

    def _is_fresh(self, event: said.PolicyAdopted) -> bool:
        return self._batch is not None and any(_is_fresh(given, event) for given in self._batch.inputs)

    def _reverted(self, event: said.PolicyReverted) -> None:
        self._change(event.policy, on_trial=True)

    def _change(self, policy: Policy, *, on_trial: bool) -> None:
        """Who may do what changes only as somebody asked, and for good."""
        before, self._policy = self._policy, policy
        for field in ACCESS if before is not None and on_trial else ():
            if getattr(before, field) != getattr(policy, field):
                self._find("I10", f"a trial changes {field}, which no reversal may give back")

    # -- nodes --------------------------------------------------------------------------------------------------

    def _signer(self, node: str) -> str:
        """Of a node that is here or was."""
        known = self._nodes.nodes.get(node)
        cluster = known.cluster if known is not None else self._former.get(node, ("", ""))[0]
        return f"node.{cluster}/{node}"

    def _spoke(self, event: Any) -> None:
        self._check_word(type(event).__name__, event.node)

    def _check_word(self, name: str, node: str, job: str = "") -> None:
        if self._is_revoked(self._signer(node)):
            self._find("I10", f"{name} by the word of {node}, which is revoked", job)

    def _admitted(self, event: said.NodeAdmitted) -> None:
        faults = [self._refusals(given, join) for given, join in self._joins(event)]
        if not faults:
            self._find("I16", f"{event.node} is admitted, and did not join in this batch")
        elif all(faults):
            self._find("I16", f"{event.node} is admitted, and {next(iter(faults[0].values()))}")
        if event.layers_missing not in [join.layers_missing for _, join in self._joins(event)]:
            self._find("I16", f"{event.node} is admitted with other layers than it said")
        self._leave(event.node)
        self._layers[event.node] = event.layers_missing

    def _refused(self, event: said.NodeRefused) -> None:
        is_right = any(event.reason in self._refusals(given, join) for given, join in self._joins(event))
        if event.reason in ("revoked", "no_token", "not_confined") and not is_right:
            self._find("I16", f"{event.node} is refused as {event.reason}, which it is not")

    def _joins(self, event: said.NodeAdmitted | said.NodeRefused) -> list[tuple[Input, heard.NodeJoined]]:
        """The session's joins in this batch: usually one, or copies of one."""
        return [
            (given, given.body)
            for given in (self._batch.inputs if self._batch is not None else ())
            if isinstance(given.body, heard.NodeJoined)
            and (given.body.node, given.body.session) == (event.node, event.session)
        ]

    def _refusals(self, given: Input, join: heard.NodeJoined) -> dict[str, str]:
        """Why the policy in force does not let the machine in, by the reason that the refusal names."""
        policy, found = self._policy, {}
        if policy is None:
            return {}
        if self._is_revoked(given.signer or f"node.{join.cluster}/{join.node}"):
            found["revoked"] = "its signature is revoked"
        known = self._nodes.nodes.get(join.node)
        place = (known.cluster, known.identity) if known is not None else self._former.get(join.node)
        is_known = bool(join.identity) and place == (join.cluster, join.identity)
        if policy.join_tokens and not is_known and given.token_until_ms < given.at_ms:
            found["no_token"] = "is new and has no token that is good for it"
        if join.layers_missing and not policy.trusted_models:
            found["not_confined"] = "lacks layers, and models are not trusted"
        return found

    def _drained(self, event: said.NodeDrained) -> None:
        if event.reason != "not_confined":
            self._check_word("NodeDrained", event.node)
        elif not self._is_unconfined(event.node):
            self._find("I16", f"{event.node} drains for its layers, and needs none")

    def _is_unconfined(self, node: str) -> bool:
        return bool(self._layers.get(node)) and (self._policy is None or not self._policy.trusted_models)

    def _left(self, event: said.NodeDeparted | said.NodeLost) -> None:
        self._leave(event.node)
        self._layers.pop(event.node, None)

    def _leave(self, node: str) -> None:
        known = self._nodes.nodes.get(node)
        if known is not None:
            self._former.pop(node, None)
            self._former[node] = (known.cluster, known.identity)
            if len(self._former) > FORMER_NODES_MAX:
                del self._former[next(iter(self._former))]

    # -- attempts -----------------------------------------------------------------------------------------------

    def _dispatched(self, event: said.JobDispatched) -> None:
        nodes = tuple(dict.fromkeys((event.node, *(member.node for member in event.members))))
        self._send(event.dispatch, nodes, event.job)
        if len(nodes) > 1 and self._policy is not None and not self._policy.gang_network:
            self._find("I3", f"sent to {len(nodes)} nodes, and gangs have no network", event.job)

    def _send(self, dispatch: str, nodes: tuple[str, ...], job: str) -> None:
        """An attempt or a preparation goes to these nodes."""
        self._places[dispatch] = nodes
        for node in nodes:
            if self._is_revoked(self._signer(node)):
                self._find("I3", f"sent to {node}, which is revoked", job)
            if self._is_unconfined(node):
                self._find("I3", f"sent to {node}, which lacks layers, and models are not trusted", job)

    def _prepares(self, event: said.PreparationOrdered) -> None:
        self._send(event.preparation, (event.node,), event.job)

    def _prepared(self, event: said.InputsPrepared | said.InputsRefused) -> None:
        (node,) = self._places.pop(event.preparation, ("",))
        self._check_word(type(event).__name__, node, event.job)

    def _preparation_closed(self, event: said.PreparationClosed) -> None:
        (node,) = self._places.pop(event.preparation, ("",))
        if event.reason in _BY_WORKER:
            self._check_word(f"PreparationClosed ({event.reason})", node, event.job)
        elif event.reason == "revoked" and not self._is_revoked(self._signer(node)):
            self._find("I10", f"its preparation is closed because {node} is revoked, which it is not", event.job)

    def _reported(self, event: said.AttemptStarted | said.JobSucceeded | said.AttemptFailed) -> None:
        self._check_word(type(event).__name__, self._speaker(event), event.job)
        if not isinstance(event, said.AttemptStarted):
            self._places.pop(event.dispatch, None)

    def _closed(self, event: said.AttemptClosed) -> None:
        node = self._speaker(event)
        if event.reason in _BY_REPORT:
            self._check_word(f"AttemptClosed ({event.reason})", node, event.job)
        elif event.reason == "revoked" and not self._is_revoked(self._signer(node)):
            self._find("I10", f"its attempt is closed because {node} is revoked, which it is not", event.job)
        self._places.pop(event.dispatch, None)

    def _speaker(self, event: Any) -> str:
        """The node whose word or end the event follows from."""
        return getattr(event, "node", "") or next(iter(self._places.get(event.dispatch, ())), "")


def _is_fresh(given: Input, event: said.PolicyAdopted) -> bool:
    """The input asks for this policy, and may change who may do what: it was made just now, or nobody signs here."""
    body = given.body
    if not isinstance(body, heard.PolicyApplied) or body.fingerprint != event.fingerprint:
        return False
    return not given.signer or 0 <= body.until_ms - given.at_ms <= FRESH_MS


def _asks_for(given: Input, event: msgspec.Struct) -> bool:
    """The input asks for just this."""
    for kind, fields in _ASKED[type(event)]:
        if isinstance(given.body, kind):
            return all(getattr(given.body, field) == getattr(event, field) for field in fields)
    return False
