"""The policy document: the YAML that a person writes. `parse` reads and checks a document, and names a fault's line.

A person writes durations like `500ms`, `30s`, `1h30m`, `3d` and sizes like `64KiB`, `1MiB`; a Policy has ms and bytes.
Aliases (`*name`) and merge keys (`<<: *name`) mean what YAML says. A field of the document whose name begins with `x-`
is read by nobody, so that an anchor can stand there.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from contract.durations import DAY_MS, duration_ms
from contract.policy import CLUSTER_KINDS, DISCIPLINES, ISOLATIONS, UNLIMITED, Cluster, Policy, Pool, Tier
from contract.policy_check import LISTS, Place, fault_of, fault_of_name, least_of, may_be_unlimited, most_of


class PolicyInvalid(ValueError):
    """The document is no policy that can be put in force. The message names the line and says what was expected, what
    was found, and what to do."""


_UNITS_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2}
_SIZE = re.compile(r"([0-9]{1,30})(B|KiB|MiB)")
_WHOLE = re.compile(r"[0-9]{1,30}")
_CHOICES = {"discipline": DISCIPLINES, "isolation": ISOLATIONS, "kind": CLUSTER_KINDS}
_SWITCHES = (
    *("wheels_from_index", "adaptive", "may_starve", "trusted_models", "gang_network", "join_tokens"),
    *("keep_sources", "visible_mark"),
)
_MERGE = "tag:yaml.org,2002:merge"
MERGED_FIELDS_MAX = 100_000
"""A few lines of merge keys can ask for more fields than any machine holds."""
_UNREAD = "x-"
"""With this begins the name of a field of the document that holds nothing but anchors."""

Fields = dict[str, tuple[yaml.Node, yaml.Node]]
"""By name, key and value of each field of a mapping."""


def parse(text: str) -> Policy:
    """The policy that a YAML document describes. PolicyInvalid for the first fault."""
    try:
        return _PolicyReader().policy(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise PolicyInvalid(_yaml_fault(text, error)) from None
    except RecursionError:
        raise PolicyInvalid(
            "line 1: expected a policy document, found lists or mappings nested too deep to read"
        ) from None


def _yaml_fault(text: str, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: expected YAML, found the character {chr(error.character)!r}; remove it"
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "found something else"
    return f"line {mark.line + 1 if mark else 1}: expected YAML; {problem}"


class _PolicyReader:
    """Reads a policy from YAML nodes. Each node knows its line."""

    def __init__(self) -> None:
        self._mappings: dict[yaml.Node, Fields] = {}
        self._merging: list[yaml.Node] = []
        self._fields_merged = 0

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
        fields = {name: pair for name, pair in fields.items() if not name.startswith(_UNREAD)}
        self._refuse_unknown(fields, Policy, "the policy document")
        policy = Policy(**values)
        self._check(policy, root)
        return policy

    def _field(self, name: str, key: yaml.Node, node: yaml.Node) -> Any:
        if name == "tiers":
            return self._members(node, Tier, "tier")
        if name == "pools":
            return self._members(node, Pool, "pool")
        if name == "clusters":
            return self._members(node, Cluster, "cluster")
        if name == "tenant_weights":
            return self._weights(node)
        return self._names(name, node) if name in LISTS else self._scalar(name, node)

    def _names(self, name: str, node: yaml.Node) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise PolicyInvalid(f"line {_line(node)}: {name}: expected a list of names")
        return tuple(sorted(_text(entry) for entry in node.value))

    def _members(self, node: yaml.Node, kind: type[msgspec.Struct], noun: str) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, (key, value) in self._mapping(node, f"{noun}s by name").items():
            self._check_name(name, key, noun)
            members[name] = self._struct(value, kind, f"{noun} {name!r}")
        if not members:
            raise PolicyInvalid(f"line {_line(node)}: expected at least one {noun}, found none")
        return members

    def _weights(self, node: yaml.Node) -> dict[str, int]:
        weights: dict[str, int] = {}
        for tenant, (key, value) in self._mapping(node, "tenant_weights").items():
            self._check_name(tenant, key, "tenant")
            weights[tenant] = self._whole(f"line {_line(value)}: {tenant}", value, "tenant_weights")
        return weights

    def _check_name(self, name: str, key: yaml.Node, noun: str) -> None:
        fault = fault_of_name(noun, name)
        if fault:
            raise PolicyInvalid(f"line {_line(key)}: {fault}")

    def _struct(self, node: yaml.Node, kind: type[msgspec.Struct], what: str) -> Any:
        fields = self._mapping(node, what)
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            pair = fields.pop(_spelling(field.name), None)
            if pair is not None:
                values[field.name] = self._scalar(field.name, pair[1])
            elif field.required:
                raise PolicyInvalid(f"line {_line(node)}: expected {_spelling(field.name)!r} in {what}, found none")
        self._refuse_unknown(fields, kind, what)
        return kind(**values)

    def _mapping(self, node: yaml.Node | None, what: str) -> Fields:
        """The fields of a mapping, merged ones among them. A mapping that is merged into many others is read once."""
        if not isinstance(node, yaml.MappingNode):
            line = _line(node) if node is not None else 1
            raise PolicyInvalid(f"line {line}: expected {what} as a mapping (name: value)")
        if node not in self._mappings:
            self._merging.append(node)
            self._mappings[node] = self._merged(node, what)
            self._merging.pop()
        return dict(self._mappings[node])

    def _merged(self, node: yaml.MappingNode, what: str) -> Fields:
        own: Fields = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise PolicyInvalid(
                    f"line {_line(key)}: expected a name before the ':' in {what}, found a list or mapping"
                )
            if key.tag == _MERGE:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif key.value in own:
                raise PolicyInvalid(f"line {_line(key)}: {key.value!r} is given twice in {what}; keep one")
            else:
                own[str(key.value)] = (key, value)
        for other in merged:
            if not isinstance(other, yaml.MappingNode):
                raise PolicyInvalid(f"line {_line(other)}: expected a mapping, or a list of mappings, after '<<:'")
            if other in self._merging:
                raise PolicyInvalid(f"line {_line(node)}: expected a mapping after '<<:', found one that merges itself")
            fields = self._mapping(other, what)
            self._fields_merged += len(fields)
            if self._fields_merged > MERGED_FIELDS_MAX:
                raise PolicyInvalid(f"line {_line(node)}: expected '<<:' to add at most {MERGED_FIELDS_MAX:,} fields")
            own = fields | own
        return own

    def _refuse_unknown(self, rest: Fields, kind: type[msgspec.Struct], what: str) -> None:
        """`rest`: what is left of a mapping once the fields of `kind` are taken out of it."""
        known = ", ".join(_spelling(field.name) for field in msgspec.structs.fields(kind))
        for name, (key, _) in rest.items():
            raise PolicyInvalid(f"line {_line(key)}: unknown field {name[:80]!r} in {what}; the fields are {known}")

    def _scalar(self, name: str, node: yaml.Node) -> Any:
        text = _text(node)
        line = f"line {_line(node)}: {_spelling(name)}"
        if name == "pool":
            return text
        if name in _CHOICES:
            if text not in _CHOICES[name]:
                raise PolicyInvalid(f"{line}: expected one of {', '.join(_CHOICES[name])}, found {text[:80]!r}")
            return text
        if may_be_unlimited(name) and text == "none":
            return UNLIMITED
        if name in _SWITCHES:
            if text not in ("true", "false"):
                raise PolicyInvalid(f"{line}: expected true or false, found {text[:80]!r}")
            return text == "true"
        if name.endswith("_ms"):
            found, example, most = duration_ms(text) or 0, "'30s' or '1h30m'", f"{most_of(name) // DAY_MS}d"
        elif "_bytes_" in name:
            found, example, most = _size(text), "'256KiB'", f"{most_of(name) // 1024}KiB"
        else:
            return self._whole(line, node, name)
        if not found:
            raise PolicyInvalid(f"{line}: expected more than zero, written like {example}, found {text[:80]!r}")
        if found > most_of(name):
            raise PolicyInvalid(f"{line}: expected at most {most}, found {text[:80]!r}")
        return found

    def _whole(self, line: str, node: yaml.Node, name: str) -> int:
        least, most, text = least_of(name), most_of(name), _text(node)
        number = int(text) if _WHOLE.fullmatch(text) else -1
        if number < least:
            raise PolicyInvalid(f"{line}: expected a whole number of at least {least}, found {text[:80]!r}")
        if number > most:
            raise PolicyInvalid(f"{line}: expected a whole number of at most {most:,}, found {text[:80]!r}")
        return number

    def _check(self, policy: Policy, root: yaml.Node | None) -> None:
        fault = fault_of(policy)
        if fault is not None:
            lines = [line for place in fault.places if (line := self._line_of(place, root))]
            raise PolicyInvalid(f"line {(lines or [self._line_of(('tiers',), root)])[0]}: {fault.text}")

    def _line_of(self, place: Place, root: yaml.Node | None) -> int:
        """The line of the field at this place. When the document does not have the field: the line of the nearest
        parent that it has, or 0."""
        node, line = root, 0
        for name in place:
            pair = self._mapping(node, "the policy document").get(_spelling(name))
            if pair is None:
                break
            line, node = _line(pair[0]), pair[1]
        return line


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _UNITS_BYTES[match[2]] if match is not None else 0


def _text(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _spelling(field: str) -> str:
    return field.replace("_bytes_", "_").removesuffix("_ms") if field != "payload_bytes_max" else "payload_max"
