"""What each role may do in the object store: one table, from which policy documents are made.

A process that is broken into, or a model in a node, can then do no more there than its role: read no other's results,
delete none, write no snapshot. The embedded S3Proxy keeps each login to its prefixes and no more (local.s3_server); in
a store with one login for everybody, what steers processes is guarded by seals alone (contract.seals).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, NamedTuple

from runtime.object_store import Missing, ObjectStore, StoreRefuses
from runtime.roles import AUTHOR, OPERATOR, Role


class Right(StrEnum):
    """Of the objects below one prefix."""

    READ = "read"
    WRITE = "write"
    LIST = "list"
    DELETE = "delete"


SEE = frozenset({Right.READ, Right.LIST})
"""Without LIST a store answers 403 instead of 404 for what is not there."""
WRITE = frozenset({Right.WRITE})
ALL = frozenset(Right)

PREFIXES = (
    *("blobs/", "environments/", "inputs/", "results/", "snapshots/", "positions/", "skips/", "probes/", "uploads/"),
)
"""Of every key that we write."""

_LISTS_ALL = dict.fromkeys(PREFIXES, frozenset({Right.LIST}))
"""Of whoever asks whether there is a bucket: that is the right to list, and names no prefix."""

RIGHTS: Mapping[str, Mapping[str, frozenset[Right]]] = {
    Role.SCHEDULER: {"snapshots/": ALL},
    Role.INTAKE: {"results/": SEE, "positions/": SEE | WRITE, "skips/": frozenset({Right.LIST, Right.DELETE})},
    Role.API: {"inputs/": SEE, "results/": SEE, "snapshots/": SEE, "probes/": SEE | WRITE, "uploads/": ALL},
    Role.NODE: {"blobs/": SEE, "environments/": SEE, "inputs/": SEE, "results/": WRITE},
    Role.CPU_WORKER: {"blobs/": SEE, "uploads/": SEE, "results/": SEE, "inputs/": WRITE},
    Role.INSTALL: _LISTS_ALL | {"probes/": ALL - {Right.READ}},
    AUTHOR: {"blobs/": SEE | WRITE, "environments/": SEE | WRITE},
    OPERATOR: _LISTS_ALL
    | {
        "inputs/": frozenset({Right.LIST, Right.DELETE}),
        "results/": SEE | {Right.DELETE},
        "snapshots/": SEE,
        "positions/": SEE,
        "skips/": WRITE | {Right.LIST},
        "probes/": ALL,
    },
}
"""By role, and by prefix. A role that is not named asks no store. Whoever may read `results/` can also sign links to
what lies there for others: of the processes the API, intake, which finds there what jobs name of other jobs, and CPU
workers, which fetch it."""

_ACTIONS: Mapping[Right, tuple[str, ...]] = {
    Right.READ: ("s3:GetObject",),
    Right.WRITE: ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
    Right.DELETE: ("s3:DeleteObject",),
}
_LIST = ("s3:ListBucket", "s3:ListBucketMultipartUploads")
_MAKES_THE_BUCKET = (Role.INSTALL,)


def policy_of(role: str, bucket: str) -> dict[str, Any]:
    """The policy document for this role's login, in the language that S3 and the stores compatible with it read.
    KeyError for a role that asks no store."""
    arn = f"arn:aws:s3:::{bucket}"
    rights = RIGHTS[role]
    statements: list[dict[str, Any]] = []
    for right, actions in _ACTIONS.items():
        resources = [f"{arn}/{prefix}*" for prefix in PREFIXES if right in rights.get(prefix, ())]
        if resources:
            statements.append(_statement(right.title(), actions, resources))
    listed = [f"{prefix}*" for prefix in PREFIXES if Right.LIST in rights.get(prefix, ())]
    if listed:
        only = {"Condition": {"StringLike": {"s3:prefix": listed}}} if len(listed) < len(PREFIXES) else {}
        statements.append(_statement("List", _LIST, [arn]) | only)
    if role in _MAKES_THE_BUCKET:
        statements.append(_statement("Make", ("s3:CreateBucket",), [arn]))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(sid: str, actions: tuple[str, ...], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources}


class RightFound(NamedTuple):
    """What the store says to one attempt of a role's login."""

    prefix: str
    right: Right
    expected: bool
    found: bool

    @property
    def good(self) -> bool:
        return self.found == self.expected


def try_rights(store: ObjectStore, role: str) -> list[RightFound]:
    """Try with this login what the role may do and what it may not, on names that nothing else has. What could be
    written and not deleted stays, empty, below its prefix. StoreAway."""
    return [
        RightFound(prefix, right, right in RIGHTS[role].get(prefix, ()), _may(store, prefix, right))
        for prefix in PREFIXES
        for right in Right
        # a right to write leaves an object, so it is tried where it must be refused only
        if right is not Right.WRITE or right not in RIGHTS[role].get(prefix, ())
    ]


def _may(store: ObjectStore, prefix: str, right: Right) -> bool:
    key = f"{prefix}rights-{uuid.uuid4().hex}"
    try:
        match right:
            case Right.READ:
                store.get(key, 0)
            case Right.LIST:
                store.list(key)
            case Right.DELETE:
                store.delete([key])
            case Right.WRITE:
                store.put(key, b"")
                with suppress(StoreRefuses):
                    store.delete([key])
    except Missing:
        return True
    except StoreRefuses:
        return False
    return True
