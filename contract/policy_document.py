"""The policy document: YAML that a person writes, read and checked. Every fault is said with its line.

Durations are written `500ms`, `30s`, `10m`, `2h`, `3d`, sizes `64KiB`, `1MiB`, and kept in ms and bytes.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from contract.names import is_name
from contract.policy import DISCIPLINES, UNLIMITED, Cluster, Policy, Pool, Tier


class PolicyInvalid(ValueError):
    """The document is no policy. The message says the line, what was expected, what was found, and what to do."""


UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNITS_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2}
_LONGEST_MS = 3_650 * UNITS_MS["d"]
_MOST_BYTES = 2 * 1024**2 - 64 * 1024
"""A record of Kafka may hold 2 MiB (runtime.kafka_records); contract.topics leaves 64 KiB of it for what is around a
payload."""
_WHOLE_MOST = 999_999_999
_MOST = {"partition": 999, "dispatch_partitions": 999, "submission_partitions": 999, "tenant_weights": 1_000}
"""Partitions are made as they are asked for, with all below them. A tenant's pick costs a 720,720th of a share and more
(scheduling.sharing): weights above 1,000 would be rounded away."""
_MAY_BE_ZERO = ("partition", "tenant_burst", "tenant_burst_penalty", "look_ahead_jobs", "look_ahead_percent")
_DURATION = re.compile(r"([0-9]{1,30})(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,30})(B|KiB|MiB)")
_WHOLE = re.compile(r"[0-9]{1,30}")


def parse(text: str) -> Policy:
    """The policy a YAML document says. PolicyInvalid names the line of the first fault."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise PolicyInvalid(_no_yaml(text, error)) from None
    except RecursionError:
        raise PolicyInvalid(
            "line 1: expected a policy document, found lists or mappings in each other without end"
        ) from None
    return _Reader().policy(root)


def _no_yaml(text: str, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: expected YAML, found the character {chr(error.character)!r}, which can't stand in it"
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "what is none"
    return f"line {mark.line + 1 if mark else 1}: expected YAML; {problem}"


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
            return self._weights(node)
        return self._scalar(name, node)

    def _named(self, node: yaml.Node, kind: type[msgspec.Struct], noun: str) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, (key, value) in self._mapping(node, f"{noun}s by name").items():
            self._name(name, key, noun)
            members[name] = self._struct(value, kind, f"{noun} {name!r}")
        if not members:
            raise PolicyInvalid(f"line {_line(node)}: expected at least one {noun}, found none")
        return members

    def _weights(self, node: yaml.Node) -> dict[str, int]:
        weights: dict[str, int] = {}
        for tenant, (key, value) in self._mapping(node, "tenant_weights").items():
            self._name(tenant, key, "tenant")
            weights[tenant] = self._whole(f"line {_line(value)}: {tenant}", value, 1, _MOST["tenant_weights"])
        return weights

    def _name(self, name: str, key: yaml.Node, noun: str) -> None:
        if not is_name(name):
            raise PolicyInvalid(
                f"line {_line(key)}: expected a {noun} name (at most 63 lower case letters, digits, '.', '_', '-'),"
                f" found {name[:80]!r}"
            )

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
            if not isinstance(key, yaml.ScalarNode):
                raise PolicyInvalid(
                    f"line {_line(key)}: expected a name before the ':' in {what}, found a list or mapping"
                )
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
        text = _text(node)
        line = f"line {_line(node)}: {_spelling(name)}"
        if name == "pool":
            return text
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
            match, units, example, most, unit = _DURATION.fullmatch(text), UNITS_MS, "30s", _LONGEST_MS, "d"
        elif "_bytes_" in name:
            match, units, example, most, unit = _SIZE.fullmatch(text), _UNITS_BYTES, "256KiB", _MOST_BYTES, "KiB"
        else:
            return self._whole(line, node, 0 if name in _MAY_BE_ZERO else 1, _MOST.get(name, _WHOLE_MOST))
        found = int(match[1]) * units[match[2]] if match is not None else 0
        if not found:
            raise PolicyInvalid(f"{line}: expected more than zero, written like {example!r}, found {text[:80]!r}")
        if found > most:
            raise PolicyInvalid(f"{line}: expected at most {most // units[unit]}{unit}, found {text[:80]!r}")
        return found

    def _whole(self, line: str, node: yaml.Node, least: int, most: int) -> int:
        text = _text(node)
        number = int(text) if _WHOLE.fullmatch(text) else -1
        if number < least:
            raise PolicyInvalid(f"{line}: expected a whole number of at least {least}, found {text[:80]!r}")
        if number > most:
            raise PolicyInvalid(f"{line}: expected a whole number of at most {most:,}, found {text[:80]!r}")
        return number

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


def _text(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _spelling(field: str) -> str:
    return field.replace("_bytes_", "_").removesuffix("_ms") if field != "payload_bytes_max" else "payload_max"
