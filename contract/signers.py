"""Who writes `jobs`, and what each writer may say: one table.

A signer is named after its role: `api`, `intake`, `relay`, `courier`, `operator.<who>`, `node.<cluster>/<name>`. The
slash keeps two nodes apart whose names have dots: of `a` and `b.c`, and of `a.b` and `c`.
"""

from __future__ import annotations

import re

from contract.inputs import (
    AliasMoved,
    Body,
    CancelRequested,
    EraseRequested,
    NodeHeartbeat,
    NodeJoined,
    NodeLeft,
    NodeReport,
    Submission,
    Unreadable,
    VersionPublished,
)
from contract.names import NAME

API, INTAKE, RELAY, COURIER, OPERATOR, NODE = "api", "intake", "relay", "courier", "operator", "node"
ROLES = (API, INTAKE, RELAY, COURIER, OPERATOR, NODE)

MAY_SAY: dict[type, tuple[str, ...]] = {
    Submission: (API, INTAKE),
    CancelRequested: (API, OPERATOR),
    EraseRequested: (API, OPERATOR),
    VersionPublished: (RELAY,),
    AliasMoved: (RELAY,),
    NodeJoined: (NODE,),
    NodeHeartbeat: (NODE,),
    NodeLeft: (NODE,),
    NodeReport: (NODE,),
    Unreadable: (),
}
"""Roles by what `judge` reads of a record. What is not named here, operators say. More holds for each role: see
`refusal_of`."""

OF_ANOTHER_ROLE = "expected a record that its signer may write, found one of another role: "
OF_ANOTHER_NODE = "expected a node to speak of itself, found a record about another node or cluster"
WITHOUT_TENANT = "expected the API to name the tenant who asks, found none"
OF_ANOTHER_DOOR = "expected a submission through the door of its signer, found one through another"

_SIGNER = re.compile(
    rf"api|intake|relay|courier|operator\.(?P<who>{NAME.pattern})"
    rf"|node\.(?P<cluster>{NAME.pattern})/(?P<node>{NAME.pattern})"
)
_DOORS = {API: "api", INTAKE: "kafka"}


def operator_signer(who: str) -> str:
    return f"{OPERATOR}.{who}"


def node_signer(cluster: str, node: str) -> str:
    return f"{NODE}.{cluster}/{node}"


def is_signer(text: str) -> bool:
    return _SIGNER.fullmatch(text) is not None


def role_of(signer: str) -> str:
    """One of ROLES. ValueError when the text names no signer."""
    if not is_signer(signer):
        raise ValueError(
            "expected a signer like api, intake, relay, courier, operator.NAME or node.CLUSTER/NAME,"
            f" found {signer[:200]!r}"
        )
    return signer.partition(".")[0]


def refusal_of_tombstone(signer: str) -> str:
    """Why this signer may not bury a record; empty when it may: operators erase. ValueError as `refusal_of`."""
    role = role_of(signer)
    return "" if role == OPERATOR else f"{OF_ANOTHER_ROLE}{role}, a tombstone"


def refusal_of(signer: str, body: Body) -> str:
    """Why this signer may not say this, in a fixed phrase; empty when it may. ValueError when the text names no
    signer."""
    role = role_of(signer)
    if role not in MAY_SAY.get(type(body), (OPERATOR,)):
        return f"{OF_ANOTHER_ROLE}{role}, {type(body).__name__}"
    match body:
        case Submission() if body.via != _DOORS[role]:
            return OF_ANOTHER_DOOR
        case CancelRequested() | EraseRequested() if role == API and not body.tenant:
            return WITHOUT_TENANT
        case NodeJoined() if signer != node_signer(body.cluster, body.node):
            return OF_ANOTHER_NODE
        case NodeHeartbeat() | NodeLeft() | NodeReport() if body.node != signer.partition("/")[2]:
            return OF_ANOTHER_NODE
    return ""
