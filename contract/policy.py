"""The policy document: tiers, SLOs, pools, clusters, limits. YAML a person writes, validated, with a fingerprint.

What changes a decision is an event, so the parsed policy travels whole in `PolicyApplied` and `PolicyAdopted`.
Durations are written `500ms`, `30s`, `10m`, `2h`, `3d`, sizes `64KiB`, `1MiB`, and kept in ms and bytes.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import yaml

from contract.names import is_name

DISCIPLINES = ("promise", "wait_fraction", "strict", "edf", "fifo", "weighted_fair", "shortest_first")
"""Queueing disciplines: rules that say who goes next. docs/decisions/0008 says why the first is the default."""

UNLIMITED = 1_000_000_000
"""A cluster's limit, or attempts staged per slot, written `none`: everything is pushed to the nodes at once."""


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    slo_ms: int
    """The tier's worst-case wait. The smaller it is, the higher the tier ranks; ties by name."""
    weight: int = 0
    """Share of the slots under `weighted_fair`, against the other tiers'. 0: in proportion to 1 / slo_ms."""


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    partition: int
    """Of `jobs` and `ledger`. Never changed, never reused."""


class Cluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pool: str
    limit: int
    """The most attempts dispatched and not started. UNLIMITED (`none`): no limit, and staging without end."""
    dispatch_partitions: int = 1
    adaptive: bool = False
    """Keep only as many as hide the fetching of inputs, by recorded times; `limit` is then the most."""
    staged_per_slot: int = 1
    """Attempts a node may hold staged for each of its slots, besides the running ones."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an operator decides. Field names in the document drop the unit (`node_lease: 30s`)."""

    tiers: dict[str, Tier]
    pools: dict[str, Pool]
    clusters: dict[str, Cluster]
    failures_max: int = 4
    """A job that failed this often is dead-lettered (design section 4)."""
    backoff_ms: int = 2_000
    """Lease time before the first retry; doubles with each failure."""
    backoff_max_ms: int = 60_000
    node_lease_ms: int = 30_000
    """A node not heard for this much lease time is lost."""
    submission_age_max_ms: int = 3 * 86_400_000
    """A copy of a Kafka submission older than this is quarantined. Ended ids are remembered at least as long."""
    words_kept_ms: int = 3 * 86_400_000
    """How long short-lived topics keep words, and within what `jobs` compacts: `headrace jobs erase` says when exactly
    the last copy of an erased job's words is gone, about one and a half times this."""
    payload_bytes_max: int = 256 * 1024
    submission_partitions: int = 4
    wheels_from_index: bool = True
    """A node may take a version's wheels by hash from its uv cache or package index, instead of the object store."""
    discipline: str = DISCIPLINES[0]
    """Who goes next: one of DISCIPLINES."""
    promise_max: int = 20
    """Under `promise`: the starvation bound, in multiples of a tier's SLO (docs/decisions/0008)."""
    tenant_weights: dict[str, int] = {}
    """Shares of tenants inside a tier, against each other; 1 for a tenant that is not named."""
    tenant_burst: int = 100
    """A tenant with more jobs than this waiting in a tier pays `tenant_burst_penalty` more for each pick there."""
    tenant_burst_penalty: int = 1
    """In picks. 0: bursts cost nothing."""
    look_ahead_jobs: int = 64
    """How far behind the head of a line a job is looked for whose version the free slot has loaded. 0: never."""
    look_ahead_percent: int = 50
    """A job that has waited more than this share of its SLO is never passed over by look-ahead."""
    may_starve: bool = False
    """Allows a discipline under which jobs may wait for ever while others bring more than the slots take: for
    experiments and what-if."""


class PolicyInvalid(ValueError):
    """The document is no policy. The message says the line, what was expected, what was found, and what to do."""


UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNITS_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2}
_MAY_BE_ZERO = ("partition", "tenant_burst", "tenant_burst_penalty", "look_ahead_jobs", "look_ahead_percent")
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+)(B|KiB|MiB)")


def canonical(policy: Policy) -> Policy:
    """The same policy, its tiers, pools, clusters and tenants in the order of their names: its bytes are then the same
    wherever it came from."""
    return msgspec.json.decode(msgspec.json.encode(policy, order="deterministic"), type=Policy)


def fingerprint(policy: Policy) -> str:
    """sha256 of the canonical JSON: two documents that say the same have the same fingerprint."""
    canonical = msgspec.json.encode(policy, order="deterministic")
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def parse(text: str) -> Policy:
    """The policy a YAML document says. PolicyInvalid names the line of the first fault."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise PolicyInvalid(f"line {line}: expected YAML, found {getattr(error, 'problem', 'bytes')}") from None
    return _Reader().policy(root)


class _Reader:
    """Walks the YAML nodes, which know their lines."""

    def policy(self, root: yaml.Node | None) -> Policy:
        fields = self._mapping(root, "the policy document")
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(Policy):
            name = _spelling(field.name)
            key_node = fields.pop(name, None)
            if key_node is None:
                if field.required:
                    raise PolicyInvalid(f"line 1: expected a field {name!r} in the policy document, found none")
                continue
            values[field.name] = self._field(field.name, *key_node)
        self._no_more(fields, [_spelling(f.name) for f in msgspec.structs.fields(Policy)], "the policy document")
        policy = Policy(**values)
        self._agree(policy, root)
        return policy

    def _field(self, name: str, key: yaml.Node, node: yaml.Node) -> Any:
        if name == "tiers":
            return self._named(node, Tier, "tier")
        if name == "pools":
            return self._named(node, Pool, "pool")
        if name == "clusters":
            return self._named(node, Cluster, "cluster")
        if name == "tenant_weights":
            return {tenant: self._scalar(tenant, pair[1]) for tenant, pair in self._mapping(node, name).items()}
        return self._scalar(name, node)

    def _named(self, node: yaml.Node, kind: type[msgspec.Struct], noun: str) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, (key, value) in self._mapping(node, f"{noun}s by name").items():
            if not is_name(name):
                raise PolicyInvalid(
                    f"line {_line(key)}: expected a {noun} name (lower case letters, digits, '.', '_', '-'),"
                    f" found {name[:80]!r}"
                )
            members[name] = self._struct(value, kind, f"{noun} {name!r}")
        if not members:
            raise PolicyInvalid(f"line {_line(node)}: expected at least one {noun}, found none")
        return members

    def _struct(self, node: yaml.Node, kind: type[msgspec.Struct], what: str) -> Any:
        fields = self._mapping(node, what)
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            pair = fields.pop(_spelling(field.name), None)
            if pair is not None:
                values[field.name] = self._scalar(field.name, pair[1])
            elif field.required:
                raise PolicyInvalid(f"line {_line(node)}: expected {_spelling(field.name)!r} in {what}, found none")
        self._no_more(fields, [_spelling(f.name) for f in msgspec.structs.fields(kind)], what)
        return kind(**values)

    def _mapping(self, node: yaml.Node | None, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            line = _line(node) if node is not None else 1
            raise PolicyInvalid(f"line {line}: expected {what} as a mapping (name: value)")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.value in found:
                raise PolicyInvalid(f"line {_line(key)}: {key.value!r} is given twice in {what}; keep one")
            found[str(key.value)] = (key, value)
        return found

    def _no_more(self, rest: dict[str, tuple[yaml.Node, yaml.Node]], known: list[str], what: str) -> None:
        for name, (key, _) in rest.items():
            raise PolicyInvalid(
                f"line {_line(key)}: unknown field {name[:80]!r} in {what}; the fields are {', '.join(known)}"
            )

    def _scalar(self, name: str, node: yaml.Node) -> Any:
        text = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        line = f"line {_line(node)}: {_spelling(name)}"
        if name == "pool":
            return str(text)
        if name == "discipline":
            if text not in DISCIPLINES:
                raise PolicyInvalid(f"{line}: expected one of {', '.join(DISCIPLINES)}, found {text[:80]!r}")
            return text
        if name in ("limit", "staged_per_slot") and text == "none":
            return UNLIMITED
        if name in ("wheels_from_index", "adaptive", "may_starve"):
            if text not in ("true", "false"):
                raise PolicyInvalid(f"{line}: expected true or false, found {text[:80]!r}")
            return text == "true"
        if name.endswith("_ms"):
            match, units, example = _DURATION.fullmatch(text), UNITS_MS, "30s"
        elif "_bytes_" in name:
            match, units, example = _SIZE.fullmatch(text), _UNITS_BYTES, "256KiB"
        else:
            least = 0 if name in _MAY_BE_ZERO else 1
            if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
                raise PolicyInvalid(f"{line}: expected a whole number of at least {least}, found {text[:80]!r}")
            return int(text)
        if match is None or int(match[1]) == 0:
            raise PolicyInvalid(f"{line}: expected more than zero, written like {example!r}, found {text[:80]!r}")
        return int(match[1]) * units[match[2]]

    def _agree(self, policy: Policy, root: yaml.Node | None) -> None:
        partitions: dict[int, str] = {}
        tops = self._mapping(root, "the policy document")
        for name, pool in policy.pools.items():
            line = _line(self._mapping(tops["pools"][1], "pools")[name][0])
            if pool.partition in partitions:
                raise PolicyInvalid(
                    f"line {line}: pools {partitions[pool.partition]!r} and {name!r} both name partition"
                    f" {pool.partition}; give each pool its own"
                )
            partitions[pool.partition] = name
        for name, cluster in policy.clusters.items():
            if cluster.pool not in policy.pools:
                line = _line(self._mapping(tops["clusters"][1], "clusters")[name][0])
                raise PolicyInvalid(
                    f"line {line}: cluster {name!r} is in pool {cluster.pool[:80]!r}, which is not one of"
                    f" {', '.join(sorted(policy.pools))}"
                )
        self._starve(policy, _line(tops.get("discipline", tops["tiers"])[0]))
        if policy.backoff_max_ms < policy.backoff_ms:
            line = _line(tops.get("backoff_max", tops.get("backoff", tops["tiers"]))[0])
            raise PolicyInvalid(f"line {line}: backoff_max must not be less than backoff")

    def _starve(self, policy: Policy, line: int) -> None:
        """Nothing may wait for ever, however much the other tiers bring, unless the document says so. What decides is
        proved or shown where each discipline is (docs/decisions/0008 has them side by side)."""
        if policy.may_starve:
            return
        way_out = "choose another discipline, or say may_starve: true for an experiment"
        longest_ms, lowest = max((tier.slo_ms, name) for name, tier in policy.tiers.items())
        shortest_ms = min(tier.slo_ms for tier in policy.tiers.values())
        if policy.discipline == "shortest_first" or (policy.discipline == "strict" and len(policy.tiers) > 1):
            raise PolicyInvalid(f"line {line}: {policy.discipline} lets jobs wait for ever under overload; {way_out}")
        if policy.discipline == "wait_fraction" and shortest_ms < longest_ms:
            permille = -(-1000 * longest_ms // (longest_ms - shortest_ms))
            raise PolicyInvalid(
                f"line {line}: wait_fraction lets jobs of tier {lowest!r} wait for ever while the tiers above bring"
                f" more than {permille // 1000}.{permille % 1000:03d} times what the slots take; {way_out}"
            )
        if policy.discipline != "weighted_fair":
            return
        weighted = sum(tier.weight > 0 for tier in policy.tiers.values())
        if weighted not in (0, len(policy.tiers)):
            raise PolicyInvalid(f"line {line}: expected a weight for every tier or for none, found {weighted}")
        weights = {
            name: tier.weight if weighted else longest_ms * 1000 // tier.slo_ms for name, tier in policy.tiers.items()
        }
        least = min(sorted(weights), key=lambda name: weights[name])
        if weights[least] * 1000 < sum(weights.values()):
            raise PolicyInvalid(
                f"line {line}: tier {least!r} gets less than 1 slot in 1,000 by its weight; give weights nearer"
                f" to each other, {way_out}"
            )


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _spelling(field: str) -> str:
    return field.replace("_bytes_", "_").removesuffix("_ms") if field != "payload_bytes_max" else "payload_max"
