"""Whom the policy in force lets do what: signers that it revokes, and machines that may join and stay.

Seams: `is_revoked`, `trusts_models`, `needs_token`, `speaker_of`, `address_of`, `differs`, `may_change_access`.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.inputs import Input, NodeHeartbeat, NodeJoined, NodeLeft, NodeReport, PolicyApplied
from contract.policy import ACCESS, ACCESS_LIFE_MAX_MS, Policy
from contract.signers import NODE, node_signer
from scheduling.state.nodes import Node
from scheduling.state.pool import State


def is_revoked(state: State, signer: str) -> bool:
    """Nothing that this signer says changes anything any more."""
    return state.policy is not None and signer in state.policy.revoked


def speaker_of(state: State, record: Input) -> str:
    """Whose record this is: the signer's. Where nobody signs it is the node's that the record names: else a node that
    was put out would be admitted and put out again for ever."""
    body = record.body
    if record.signer or not isinstance(body, NodeJoined | NodeHeartbeat | NodeLeft | NodeReport):
        return record.signer
    node = body if isinstance(body, NodeJoined) else state.nodes.get(body.node)
    return node_signer(node.cluster, node.node) if node is not None else ""


def is_put_out(state: State, node: Node) -> bool:
    """The node's signature is revoked. The node is still here only while a batch was too full to close what it
    holds."""
    return is_revoked(state, node_signer(node.cluster, node.node))


def revoked_nodes(state: State) -> Iterator[Node]:
    """Nodes in the pool whose signature is revoked, by name of the signer. They may leave between two of them."""
    for signer in state.policy.revoked if state.policy is not None else ():
        role, _, rest = signer.partition(".")
        node = state.nodes.get(rest.partition("/")[2]) if role == NODE else None
        if node is not None and node_signer(node.cluster, node.node) == signer:
            yield node


def may_change_access(record: Input, body: PolicyApplied) -> bool:
    """The record was made just now. Whoever may write to `jobs` can write there again what an operator signed long ago.
    Where nobody signs, anybody writes what he likes."""
    return not record.signer or record.at_ms <= body.until_ms <= record.at_ms + ACCESS_LIFE_MAX_MS


def trusts_models(state: State) -> bool:
    """Models may run on nodes that they could reach into."""
    return state.policy is not None and state.policy.trusted_models


def unconfined_nodes(state: State) -> Iterator[Node]:
    """Nodes that take new work and lack layers without which the policy lets no model run, by name."""
    if not trusts_models(state):
        found = (name for name, node in state.nodes.items() if node.layers_missing and not node.draining)
        yield from [state.nodes[name] for name in sorted(found)]


def address_of(state: State, said: str) -> str:
    """Where rank 0 of a gang can be reached on a node that said this when it joined. Gangs meet nowhere when the policy
    has no network for them."""
    return said if state.policy is None or state.policy.gang_network else ""


def differs(one: Policy, other: Policy) -> str:
    """The first field of ACCESS in which two policies say different things; empty: none."""
    return next((field for field in ACCESS if getattr(one, field) != getattr(other, field)), "")


def needs_token(state: State, record: Input, body: NodeJoined) -> bool:
    """The policy asks for join tokens, and this machine has neither one that is good for it nor a session in this
    cluster under the same identity, alive or over: with a key that was copied to another machine nobody joins."""
    if state.policy is None or not state.policy.join_tokens or record.token_until_ms >= record.at_ms:
        return False
    known = state.nodes.get(body.node) or state.past.get(body.node)
    return known is None or not known.identity or (known.cluster, known.identity) != (body.cluster, body.identity)
