"""The contract as JSON Schema and AsyncAPI 3, generated from the Structs. docs/generate.py writes what this returns."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from contract import side_topics, topics
from contract.batch import Batch
from contract.codec import TYPE_PREFIX, tag_of
from contract.events import Event
from contract.inputs import Body, Wire
from contract.orders import Order
from contract.results import ResultManifest
from contract.shadows import ShadowRecord

CHANNELS: tuple[tuple[str, str, tuple[type[msgspec.Struct], ...], str], ...] = (
    (
        topics.SUBMISSIONS,
        topics.SUBMISSIONS,
        (side_topics.SubmissionRequested,),
        "The public door for Kafka producers.",
    ),
    (
        topics.JOBS,
        topics.JOBS,
        get_args(Wire),
        "Everything that can change a decision of a pool, in one order.",
    ),
    (topics.LEDGER, topics.LEDGER, (Batch,), "Every decision, for ever; no payload."),
    ("dispatch", topics.DISPATCH_PREFIX + "{cluster}", get_args(Order), "Orders to the nodes of a cluster."),
    (topics.PROGRESS, topics.PROGRESS, (side_topics.AttemptProgressed,), "How far attempts are; decides nothing."),
    (
        topics.QUARANTINE,
        topics.QUARANTINE,
        (side_topics.Quarantined,),
        "What could not be acted on, with the reason.",
    ),
    (topics.SHADOW, topics.SHADOW, get_args(ShadowRecord), "What a candidate policy would have done; decides nothing."),
)
"""(channel, address, records, meaning)."""


def record_types() -> tuple[type[msgspec.Struct], ...]:
    """Every tagged record, event and input, each once, in a fixed order."""
    every = (
        *get_args(Wire),
        *get_args(Body),
        *get_args(Event),
        *get_args(Order),
        side_topics.SubmissionRequested,
        side_topics.AttemptProgressed,
        side_topics.Quarantined,
        Batch,
        ResultManifest,
        *get_args(ShadowRecord),
    )
    return tuple(dict.fromkeys(every))


def json_schema() -> dict[str, Any]:
    """One JSON Schema (2020-12) document; `$defs` holds a schema for each Struct, by class name."""
    _, components = msgspec.json.schema_components(record_types(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headrace records",
        "$defs": dict(sorted(components.items())),
    }


def asyncapi(version: str) -> dict[str, Any]:
    """The topics and their records as an AsyncAPI 3 document."""
    messages: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name, address, records, meaning in CHANNELS:
        for record in records:
            messages[record.__name__] = _message(record)
        channels[name] = {
            "address": address,
            "description": meaning,
            "messages": {r.__name__: {"$ref": f"#/components/messages/{r.__name__}"} for r in records},
        }
        if "{cluster}" in address:
            channels[name]["parameters"] = {"cluster": {"description": "A cluster of the policy document."}}
        for action in ("send", "receive"):
            operations[f"{action}_{name}"] = {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
    schemas = msgspec.json.schema_components(record_types(), ref_template="#/components/schemas/{name}")[1]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Headrace", "version": version, "description": "Generation jobs as Kafka records."},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }


def _message(record: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": tag_of(record),
        "summary": (record.__doc__ or "").strip().split("\n")[0],
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
            "properties": {
                "ce_specversion": {"const": "1.0"},
                "ce_id": {"type": "string"},
                "ce_source": {"type": "string"},
                "ce_type": {"const": TYPE_PREFIX + tag_of(record)},
                "traceparent": {"type": "string"},
            },
        },
        "payload": {"$ref": f"#/components/schemas/{record.__name__}"},
    }


def incompatibilities(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a reader of `old` records (a `json_schema()` document) would find broken under `new`. Empty = compatible.

    A record that was ever written stays readable and keeps its meaning: no record or field vanishes or changes its type
    or tag, and a new field is optional.
    """
    faults: list[str] = []
    for name, before in old["$defs"].items():
        now = new["$defs"].get(name)
        if now is None:
            faults.append(f"{name} is gone; keep it, and give the new shape a new version")
            continue
        if before.get("type") != "object":
            if before != now:
                faults.append(f"{name} changed from {before} to {now}")
            continue
        for field, shape in before["properties"].items():
            if now["properties"].get(field, None) is None:
                faults.append(f"{name}.{field} is gone")
            elif not _reads(shape, now["properties"][field]):
                faults.append(f"{name}.{field} changed from {_bare(shape)} to {_bare(now['properties'][field])}")
        for field in sorted(set(now.get("required", [])) - set(before.get("required", []))):
            faults.append(f"{name}.{field} became required; give it a default")
    return faults


def _reads(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Unions may grow; everything else stays as it was."""
    if "anyOf" in old and "anyOf" in new:
        return all(any(_bare(o) == _bare(n) for n in new["anyOf"]) for o in old["anyOf"])
    if "items" in old and "items" in new:
        return _reads(old["items"], new["items"])
    return _bare(old) == _bare(new)


def _bare(shape: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shape.items() if key not in ("default", "description")}
