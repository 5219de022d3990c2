"""Whether a policy can be put in force. The document's reader, the operator's command and `judge` all ask `fault_of`:
so no way into a pool takes a policy that another way refuses.

A fault names the field that it is about, so that the document's reader can say the field's line. `judge` records the
fault's text in the ledger (InputQuarantined): another text is another decision, and needs a new number of the rules
(scheduling.RULES). With the old number, `verify` would find fault with ledgers that were written before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from contract.bounds import MESSAGE_BYTES_MAX, PAYLOAD_ROOM_BYTES, POLICY_BYTES_MAX
from contract.durations import DAY_MS
from contract.inputs import PolicyApplied
from contract.names import is_name
from contract.policy import CLUSTER_KINDS, DISCIPLINES, ISOLATIONS, UNLIMITED, Policy, fingerprint
from contract.signers import NODE, OPERATOR, is_signer, role_of

Place = tuple[str, ...]
"""The path of a field in the policy: `("clusters", "local", "limit")`."""

_DURATION_MS_MAX = 3_650 * DAY_MS
_WHOLE_NUMBER_MAX = 999_999_999
_MAX_OF_FIELD = {
    "partition": 999,
    "dispatch_partitions": 999,
    "submission_partitions": 999,
    "tenant_weights": 1_000,
    "payload_bytes_max": MESSAGE_BYTES_MAX - PAYLOAD_ROOM_BYTES,
}
"""A topic gets every partition up to the highest one named, so a large number makes many. A tenant's pick costs 720,720
divided by the tenant's weight (scheduling.state.sharing): above 1,000, rounding makes neighbouring weights equal. A
payload and what surrounds it must fit one record (contract.topics)."""
_MAY_BE_ZERO = (
    "partition",
    "tenant_burst",
    "tenant_burst_penalty",
    "look_ahead_jobs",
    "look_ahead_percent",
    "staged_per_slot",
)
_MAY_BE_UNLIMITED = ("limit", "staged_per_slot")


LISTS = ("networks", "revoked")
"""Fields that are lists of names."""
LIST_MAX = 1_000


class PolicyFault(NamedTuple):
    """Why a policy cannot be put in force."""

    places: tuple[Place, ...]
    """The field at fault first; after it, the field to point at when a document does not have the first."""
    text: str
    """What was expected, what was found, and what to do."""


def least_of(field: str) -> int:
    """The least value of this field, a whole number of a policy, a tier, a pool or a cluster."""
    return 0 if field in _MAY_BE_ZERO else 1


def most_of(field: str) -> int:
    """The largest value of this field, UNLIMITED (`none`) apart."""
    return _MAX_OF_FIELD.get(field, _DURATION_MS_MAX if field.endswith("_ms") else _WHOLE_NUMBER_MAX)


def may_be_unlimited(field: str) -> bool:
    """Whether this field may be UNLIMITED (`none` in a document)."""
    return field in _MAY_BE_UNLIMITED


def fault_of_name(noun: str, name: str) -> str:
    """Why this is no name of a tier, a pool, a cluster, a tenant or a model; empty when it is a name."""
    if is_name(name):
        return ""
    return f"expected a {noun} name (at most 63 lower case letters, digits, '.', '_', '-'), found {name[:80]!r}"


def fault_of(policy: Policy) -> PolicyFault | None:
    """The policy's first fault; None when the policy can be put in force."""
    return next(_faults(policy), None)


def _faults(policy: Policy) -> Iterator[PolicyFault]:
    for group in ("tiers", "pools", "clusters"):
        members: dict[str, Any] = getattr(policy, group)
        if not members:
            yield PolicyFault(((group,),), f"expected at least one {group[:-1]}, found none")
        for name, member in members.items():
            yield from _name_faults((group, name), group[:-1], name)
            yield from _number_faults((group, name), member)
    for tenant, weight in policy.tenant_weights.items():
        yield from _name_faults(("tenant_weights", tenant), "tenant", tenant)
        yield from _range_faults(("tenant_weights", tenant), "tenant_weights", weight)
    yield from _number_faults((), policy)
    if policy.discipline not in DISCIPLINES:
        yield PolicyFault((("discipline",),), f"discipline: expected one of {', '.join(DISCIPLINES)}, found another")
    if policy.isolation not in ISOLATIONS:
        yield PolicyFault((("isolation",),), f"isolation: expected one of {', '.join(ISOLATIONS)}, found another")
    yield from _list_faults(policy)
    yield from _pool_faults(policy)
    yield from _topic_faults(policy)
    yield from _starvation_faults(policy)
    if policy.backoff_max_ms < policy.backoff_ms:
        yield PolicyFault((("backoff_max_ms",), ("backoff_ms",)), "backoff_max must not be less than backoff")
    size = len(msgspec.json.encode(policy))
    if size > POLICY_BYTES_MAX:
        yield PolicyFault(
            (("tenant_weights",),),
            f"expected a policy of at most {POLICY_BYTES_MAX // 1024} KiB, found {size:,} bytes as JSON:"
            " name fewer tenants, tiers, clusters, models or signers",
        )


def _name_faults(place: Place, noun: str, name: str) -> Iterator[PolicyFault]:
    text = fault_of_name(noun, name)
    if text:
        yield PolicyFault((place,), text)


def _number_faults(place: Place, member: msgspec.Struct) -> Iterator[PolicyFault]:
    """Faults of the struct's whole numbers. A tier's weight of 0 means that no weight was given."""
    for field in member.__struct_fields__:
        value = getattr(member, field)
        if type(value) is int and not (field == "weight" and value == 0):
            yield from _range_faults((*place, field), field, value)


def _range_faults(place: Place, field: str, value: int) -> Iterator[PolicyFault]:
    if may_be_unlimited(field) and value == UNLIMITED:
        return
    if not least_of(field) <= value <= most_of(field):
        text = f"{place[-1]}: expected a whole number from {least_of(field)} to {most_of(field):,}, found {value}"
        yield PolicyFault((place,), text)


def _list_faults(policy: Policy) -> Iterator[PolicyFault]:
    for field in LISTS:
        members: tuple[str, ...] = getattr(policy, field)
        if len(members) > LIST_MAX:
            yield PolicyFault(((field,),), f"{field}: expected at most {LIST_MAX:,} names, found {len(members):,}")
        if len(set(members)) < len(members):
            yield PolicyFault(((field,),), f"{field}: expected each name once, found one again")
        elif list(members) != sorted(members):
            yield PolicyFault(((field,),), f"{field}: expected the names in alphabetical order, found another order")
        for name in members:
            text = fault_of_name("model", name) if field == "networks" else fault_of_revoked(name)
            if text:
                yield PolicyFault(((field,),), f"{field}: {text}")


def fault_of_revoked(signer: str) -> str:
    """Why this signer cannot be revoked by a policy; empty when it can be."""
    if is_signer(signer) and role_of(signer) in (OPERATOR, NODE):
        return ""
    return (
        f"expected an operator or a node, like operator.NAME or node.CLUSTER/NAME, found {signer[:200]!r}; the key of"
        " another signer is replaced with the installation's"
    )


def _pool_faults(policy: Policy) -> Iterator[PolicyFault]:
    partitions: dict[int, str] = {}
    for name, pool in policy.pools.items():
        if pool.partition in partitions:
            yield PolicyFault(
                (("pools", name),),
                f"pools {partitions[pool.partition]!r} and {name!r} both name partition"
                f" {pool.partition}; give each pool its own",
            )
        partitions[pool.partition] = name
    for name, cluster in policy.clusters.items():
        if cluster.kind not in CLUSTER_KINDS:
            text = f"kind: expected one of {', '.join(CLUSTER_KINDS)}, found another"
            yield PolicyFault((("clusters", name, "kind"),), text)
        if cluster.kind != CLUSTER_KINDS[0] and cluster.adaptive:
            text = "adaptive: expected false where kind is prepare: nothing that is staged starts there; say the limit"
            yield PolicyFault((("clusters", name, "adaptive"),), text)
        if cluster.pool not in policy.pools:
            yield PolicyFault(
                (("clusters", name),),
                f"cluster {name!r} is in pool {cluster.pool[:80]!r}, which is not one of"
                f" {', '.join(sorted(policy.pools))}",
            )


def _topic_faults(policy: Policy) -> Iterator[PolicyFault]:
    """Faults of clusters whose dispatch topics no broker has side by side: in the names of its metrics Kafka writes `_`
    for `.`, so it refuses the second of two topics that differ in nothing else."""
    by_metric: dict[str, str] = {}
    for name in policy.clusters:
        other = by_metric.setdefault(name.replace(".", "_"), name)
        if other != name:
            yield PolicyFault(
                (("clusters", name),),
                f"clusters {other!r} and {name!r} differ only in '.' and '_', and no broker has topics for both;"
                " give one of them another name",
            )


def _starvation_faults(policy: Policy) -> Iterator[PolicyFault]:
    """Faults of a policy under which a job could wait for ever while other tiers bring more than the slots take.

    `may_starve` allows such a policy. Each discipline's module proves or shows when it starves; docs/decisions/0008 has
    them side by side."""
    if policy.may_starve or not policy.tiers:
        return
    place = (("discipline",),)
    way_out = "choose another discipline, or say may_starve: true for an experiment"
    longest_ms, lowest = max((tier.slo_ms, name) for name, tier in policy.tiers.items())
    shortest_ms = min(tier.slo_ms for tier in policy.tiers.values())
    if policy.discipline == "shortest_first" or (policy.discipline == "strict" and len(policy.tiers) > 1):
        yield PolicyFault(place, f"{policy.discipline} lets jobs wait for ever under overload; {way_out}")
    if policy.discipline == "wait_fraction" and shortest_ms < longest_ms:
        permille = -(-1000 * longest_ms // (longest_ms - shortest_ms))
        yield PolicyFault(
            place,
            f"wait_fraction lets jobs of tier {lowest!r} wait for ever while the tiers above bring"
            f" more than {permille // 1000}.{permille % 1000:03d} times what the slots take; {way_out}",
        )
    if policy.discipline != "weighted_fair":
        return
    weighted = sum(tier.weight > 0 for tier in policy.tiers.values())
    if weighted not in (0, len(policy.tiers)):
        yield PolicyFault(place, f"expected a weight for every tier or for none, found {weighted}")
        return
    weights = {
        name: tier.weight if weighted else longest_ms * 1000 // max(1, tier.slo_ms)
        for name, tier in policy.tiers.items()
    }
    least = min(sorted(weights), key=lambda name: weights[name])
    if weights[least] * 1000 < sum(weights.values()):
        yield PolicyFault(
            place,
            f"tier {least!r} gets less than 1 slot in 1,000 by its weight; give weights nearer to each"
            f" other, {way_out}",
        )


def fault_of_applied(body: PolicyApplied) -> str:
    """Why this record's policy cannot be adopted; empty when it can be.

    `headrace policy apply` asks `fault_of` before it writes a record. A record that was written without that command is
    checked here only."""
    fault = fault_of(body.policy)
    if fault is not None:
        return f"expected a policy that can be put in force: {fault.text}"
    if body.fingerprint != fingerprint(body.policy):
        return "expected a policy's own fingerprint, found another"
    below, jobs = body.revert_below_permille, body.revert_jobs
    if (below, jobs) == (0, 0) or (0 < below <= 1000 and jobs > 0):
        return ""
    return "expected a bound of 1 to 1000 permille over at least 1 job, or none, found another"


WORDS_KEPT_SAFE_MS = 3_600_000
"""As long as an outage of ours may last without a loss."""


def warnings_of(policy: Policy) -> list[str]:
    """What is dangerous in a policy that can be put in force: what was found, what may happen, what to do."""
    said = []
    if policy.words_kept_ms < WORDS_KEPT_SAFE_MS:
        kept_s = policy.words_kept_ms / 1000
        said.append(
            f"words_kept: {kept_s:g} s is how long `submissions` keeps what intake has not read, too. An outage of"
            " intake, or of what it needs, that lasts longer loses submissions that their producers know to be"
            f" acknowledged; say at least {WORDS_KEPT_SAFE_MS // 3_600_000}h where jobs come in by Kafka"
        )
    return said
