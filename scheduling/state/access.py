"""Whom the policy in force lets do what: signers that it revokes, and machines that may join.

Seams: `is_revoked`, `trusts_models`, `needs_token`.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.inputs import Input, NodeJoined
from contract.signers import NODE, node_signer
from scheduling.state.nodes import Node
from scheduling.state.pool import State


def is_revoked(state: State, signer: str) -> bool:
    """Nothing that this signer says changes anything any more."""
    return state.policy is not None and signer in state.policy.revoked


def revoked_nodes(state: State) -> Iterator[Node]:
    """Nodes in the pool whose signature is revoked, by name of the signer. They may leave between two of them."""
    for signer in sorted(state.policy.revoked) if state.policy is not None else ():
        role, _, rest = signer.partition(".")
        node = state.nodes.get(rest.partition("/")[2]) if role == NODE else None
        if node is not None and is_revoked(state, node_signer(node.cluster, node.node)):
            yield node


def trusts_models(state: State) -> bool:
    """Models may run on nodes that they could reach into."""
    return state.policy is not None and state.policy.trusted_models


def needs_token(state: State, record: Input, body: NodeJoined) -> bool:
    """The policy asks for join tokens, and this machine has neither one that is good for it nor a session in this
    cluster under the same identity, alive or over: with a key that was copied to another machine nobody joins."""
    if state.policy is None or not state.policy.join_tokens or record.token_until_ms >= record.at_ms:
        return False
    known = state.nodes.get(body.node) or state.past.get(body.node)
    return known is None or not known.identity or (known.cluster, known.identity) != (body.cluster, body.identity)
