"""The brokers' access rules (ACLs): what they keep, and making it what contract.access says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import stamina
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from contract.access import AccessRule, principal_of
from runtime import kafka_clients
from runtime.kafka_credentials import Brokers
from runtime.kafka_records import CLIENT

TIMEOUT_S = 30.0

_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.BROKER,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
"""librdkafka calls the cluster a broker."""


class AccessChange(NamedTuple):
    """What was changed, one rule a line as the brokers name it."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


def binding_of(rule: AccessRule, prefix: str) -> AclBinding:
    return AclBinding(
        _RESOURCES[rule.resource],
        rule.name,
        ResourcePatternType.PREFIXED if rule.prefixed else ResourcePatternType.LITERAL,
        principal_of(rule.role, prefix),
        "*",
        AclOperation[rule.operation.upper()],
        AclPermissionType.ALLOW,
    )


def apply_access(brokers: Brokers, rules: Iterable[AccessRule], prefix: str, *, only_ask: bool = False) -> AccessChange:
    """Have the brokers keep these rules for the principals with this prefix, and no others for them; rules of other
    principals stay. Nothing is changed a second time. KafkaException.

    `only_ask`: say what would be changed, and change nothing."""
    admin = kafka_clients.admin_client({**CLIENT, **brokers.librdkafka()})
    kept = _kept(admin, prefix)
    wanted = {binding_of(rule, prefix) for rule in rules}
    missing, spare = sorted(wanted - kept, key=line_of), sorted(kept - wanted, key=line_of)
    if not only_ask:
        for made in (admin.create_acls(missing, request_timeout=TIMEOUT_S) if missing else {}).values():
            made.result()
        filters = [
            AclBindingFilter(
                b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type
            )
            for b in spare
        ]
        for removed in (admin.delete_acls(filters, request_timeout=TIMEOUT_S) if filters else {}).values():
            removed.result()
        _await_rules(admin, prefix, wanted)
    return AccessChange(tuple(map(line_of, missing)), tuple(map(line_of, spare)))


def _kept(admin: Any, prefix: str) -> set[AclBinding]:
    anything: Any = None  # the library's types miss that a filter may leave names out
    every = AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        anything,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    found = admin.describe_acls(every, request_timeout=TIMEOUT_S).result()
    return {binding for binding in found if binding.principal.startswith(principal_of("", prefix))}


@stamina.retry(on=LookupError, timeout=TIMEOUT_S, attempts=None, wait_initial=0.02, wait_max=0.2)
def _await_rules(admin: Any, prefix: str, wanted: set[AclBinding]) -> None:
    """A broker acknowledges a rule before its authorizer has heard of that rule."""
    if _kept(admin, prefix) != wanted:
        raise LookupError("the broker does not keep the rules yet")


def line_of(binding: Any) -> str:
    """The rule in words. librdkafka's types say that its names may be numbers; those of a binding are not."""
    resource = "cluster" if binding.restype is ResourceType.BROKER else binding.restype.name.lower()
    every = "*" if binding.resource_pattern_type is ResourcePatternType.PREFIXED else ""
    verb = "may" if binding.permission_type is AclPermissionType.ALLOW else "may not"
    return f"{binding.principal} {verb} {binding.operation.name.lower()} {resource} {binding.name}{every}"
