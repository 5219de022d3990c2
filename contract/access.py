"""What each role may do with the topics, by the brokers' own rules (ACLs): one table.

A hash chain proves the order of the ledger's records, not who wrote them; that is what these rules are for. Whoever may
write `jobs` may still say only what a signature of theirs is good for (contract.signers).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from contract.policy import Policy
from contract.signers import API, COURIER, INTAKE, NODE, OPERATOR, RELAY
from contract.topics import (
    DISPATCH_PREFIX,
    JOBS,
    LEDGER,
    PROGRESS,
    QUARANTINE,
    SHADOW,
    SUBMISSIONS,
    dispatch_topic,
)

SCHEDULER, PROJECTOR, AUDITOR, PRODUCER = "scheduler", "projector", "auditor", "producer"
SHADOW_RUNNER = "shadow"
"""Who runs `headrace policy shadow`."""
PRINCIPAL_PREFIX = "headrace-"
"""Brokers of several products have principals of others too."""

Resource = Literal["topic", "group", "cluster", "transactional_id"]
Operation = Literal["read", "write", "describe", "create", "delete", "alter", "alter_configs", "describe_configs"]
"""The brokers' names. Who may read, write, alter or delete may describe too."""

_TOPICS: dict[str, dict[str, tuple[Operation, ...]]] = {
    API: {JOBS: ("write",), LEDGER: ("read",), PROGRESS: ("read",)},
    INTAKE: {SUBMISSIONS: ("read",), JOBS: ("write",), QUARANTINE: ("write",)},
    SCHEDULER: {JOBS: ("read", "write"), LEDGER: ("read", "write"), QUARANTINE: ("write",)},
    PROJECTOR: {LEDGER: ("read",)},
    RELAY: {JOBS: ("write",)},
    COURIER: {LEDGER: ("read",), JOBS: ("write",)},
    OPERATOR: {
        JOBS: ("read", "write"),
        SUBMISSIONS: ("read", "write"),
        LEDGER: ("read",),
        QUARANTINE: ("read", "write"),
        SHADOW: ("read", "write"),
    },
    AUDITOR: {LEDGER: ("read",), JOBS: ("read",), SHADOW: ("read",)},
    SHADOW_RUNNER: {LEDGER: ("read",), SHADOW: ("read", "write")},
    PRODUCER: {SUBMISSIONS: ("write",)},
}
"""Nodes and the topics of orders are added by the policy's clusters."""
ROLES = tuple(_TOPICS)
"""Every role but those of nodes."""

_MADE = (JOBS, LEDGER, PROGRESS, QUARANTINE, SHADOW, SUBMISSIONS)
"""The topics that an operator makes, beside those of orders."""

_GROUPS = {INTAKE: "headrace-intake", SCHEDULER: "headrace-scheduler", PROJECTOR: "headrace-projector"}
"""The consumer group of each role whose partitions the brokers share out."""

READERS, NODE_READERS = "headrace", "node-"
"""How the names begin under which our readers ask. librdkafka asks brokers for the coordinator of such a group although
none is joined, and takes it for a failure of the reader when it is not allowed to."""

ANY_ID = "*"
"""A producer names its transactions as it likes. Nobody else of ours has any."""

_MAKE: tuple[Operation, ...] = ("create", "alter", "alter_configs", "describe_configs")


class AccessRule(msgspec.Struct, frozen=True, order=True):
    """One thing that one role may do. What no rule allows, the brokers refuse."""

    role: str
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False
    """The rule holds for every name that begins so."""


def node_role(cluster: str) -> str:
    """The role of all nodes of a cluster. Which node spoke is proved by its signature."""
    return f"{NODE}.{cluster}"


def principal_of(role: str, prefix: str = PRINCIPAL_PREFIX) -> str:
    return f"User:{prefix}{role}"


def access_rules(policy: Policy) -> tuple[AccessRule, ...]:
    """Every rule that an installation with this policy needs, and no other, in a fixed order."""
    return rules_for_clusters(policy.clusters)


def rules_for_clusters(clusters: Iterable[str]) -> tuple[AccessRule, ...]:
    """Every rule that an installation with these clusters needs, and no other, in a fixed order.

    The operator makes topics, and deletes none but those of orders: a policy that is taken back leaves some behind."""
    rules = [
        AccessRule(role, "topic", topic, operation)
        for role, topics in _TOPICS.items()
        for topic, operations in topics.items()
        for operation in operations
    ]
    rules += [AccessRule(role, "group", group, "read") for role, group in _GROUPS.items()]
    rules += [AccessRule(role, "group", READERS, "describe", prefixed=True) for role in _TOPICS if role != PRODUCER]
    rules += [AccessRule(PRODUCER, "transactional_id", ANY_ID, operation) for operation in ("write", "describe")]
    rules += [AccessRule(SCHEDULER, "topic", DISPATCH_PREFIX, "write", prefixed=True)]
    rules += [AccessRule(OPERATOR, "topic", topic, operation) for topic in _MADE for operation in _MAKE]
    rules += [AccessRule(OPERATOR, "topic", DISPATCH_PREFIX, what, prefixed=True) for what in (*_MAKE, "delete")]
    rules += [AccessRule(OPERATOR, "cluster", "kafka-cluster", "describe_configs")]
    for cluster in sorted(set(clusters)):
        node = node_role(cluster)
        rules += [
            AccessRule(node, "topic", dispatch_topic(cluster), "read"),
            AccessRule(node, "topic", JOBS, "read"),
            AccessRule(node, "topic", JOBS, "write"),
            AccessRule(node, "topic", PROGRESS, "write"),
            AccessRule(node, "group", NODE_READERS, "describe", prefixed=True),
            AccessRule(node, "group", READERS, "describe", prefixed=True),
        ]
    return tuple(sorted(rules))
