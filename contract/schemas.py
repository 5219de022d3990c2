"""The contract as JSON Schema and AsyncAPI 3, made from the Structs. docs/generate.py writes both to files."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, NamedTuple, get_args

import msgspec

from contract import side_topics, topics
from contract.batch import Batch
from contract.codec import TYPE_PREFIX, tag_of
from contract.events import Event
from contract.inputs import Body, Wire
from contract.orders import Order, Orders
from contract.prepared import PreparedManifest, UploadReady
from contract.results import ResultManifest
from contract.shadows import ShadowRecord

NAMES_NOBODY = (
    "The job's id is a hash of tenant, ce_source and ce_id that the history keeps for ever, and whoever guesses them"
    " can confirm the guess: they must name nobody. Use no e-mail address, no person's name and no number that counts"
    " up."
)


class Channel(NamedTuple):
    """A topic as AsyncAPI describes it."""

    name: str
    address: str
    records: tuple[type[msgspec.Struct], ...]
    meaning: str


CHANNELS = (
    Channel(
        topics.SUBMISSIONS,
        topics.SUBMISSIONS,
        (side_topics.SubmissionRequested,),
        "The public door for Kafka producers.",
    ),
    Channel(
        topics.JOBS,
        topics.JOBS,
        get_args(Wire),
        "Everything that can change a decision of a pool, in one order.",
    ),
    Channel(topics.LEDGER, topics.LEDGER, (Batch,), "Every decision, for ever; no payload."),
    Channel(
        "dispatch",
        topics.DISPATCH_PREFIX + "{cluster}",
        (*get_args(Order), Orders),
        "Orders to the nodes of a cluster.",
    ),
    Channel(
        topics.PROGRESS,
        topics.PROGRESS,
        (side_topics.AttemptProgressed,),
        "How far attempts are; decides nothing.",
    ),
    Channel(
        topics.QUARANTINE,
        topics.QUARANTINE,
        (side_topics.Quarantined,),
        "What could not be acted on, with the reason.",
    ),
    Channel(
        topics.SHADOW,
        topics.SHADOW,
        get_args(ShadowRecord),
        "What a candidate policy would have done; decides nothing.",
    ),
)


def record_types() -> tuple[type[msgspec.Struct], ...]:
    """Every tagged record, event and input: each once, in a fixed order."""
    every = (
        *get_args(Wire),
        *get_args(Body),
        *get_args(Event),
        *get_args(Order),
        Orders,
        side_topics.SubmissionRequested,
        side_topics.AttemptProgressed,
        side_topics.Quarantined,
        Batch,
        ResultManifest,
        PreparedManifest,
        UploadReady,
        *get_args(ShadowRecord),
    )
    return tuple(dict.fromkeys(every))


def json_schema() -> dict[str, Any]:
    """One JSON Schema document (2020-12). `$defs` holds the schema of each Struct by class name."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headrace records",
        "$defs": _components("#/$defs/{name}"),
    }


def _components(ref_template: str) -> dict[str, Any]:
    """The schema of each Struct by class name. Descriptions are docstrings without the indentation of the source, which
    Python keeps before 3.13 only."""
    _, components = msgspec.json.schema_components(record_types(), ref_template=ref_template)
    for schema in components.values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    return dict(sorted(components.items()))


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
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Headrace", "version": version, "description": "Generation jobs as Kafka records."},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _components("#/components/schemas/{name}")},
    }


def _message(record: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": tag_of(record),
        "summary": " ".join((record.__doc__ or "").split("\n\n")[0].split()),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
            "properties": {
                "ce_specversion": {"const": "1.0"},
                "ce_id": {"type": "string", **_about_ids(record)},
                "ce_source": {"type": "string", **_about_ids(record)},
                "ce_type": {"const": TYPE_PREFIX + tag_of(record)},
                "traceparent": {"type": "string"},
            },
        },
        "payload": {"$ref": f"#/components/schemas/{record.__name__}"},
    }


def _about_ids(record: type[msgspec.Struct]) -> dict[str, str]:
    """What a producer of our users has to know."""
    return {"description": NAMES_NOBODY} if record is side_topics.SubmissionRequested else {}


def incompatibilities(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Why records of the contract `old` would not be readable under the contract `new`; empty when all of them are.
    Both are `json_schema()` documents.

    A record that was ever written stays readable and keeps its meaning. So no record and no field vanishes or changes
    its type or tag, and a new field has a default.
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
            elif not _still_reads(shape, now["properties"][field]):
                faults.append(f"{name}.{field} changed from {_bare(shape)} to {_bare(now['properties'][field])}")
        for field in sorted(set(now.get("required", [])) - set(before.get("required", []))):
            faults.append(f"{name}.{field} became required; give it a default")
    return faults


def _still_reads(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a value of the shape `old` is one of the shape `new`: a union may grow, every other shape must be
    equal."""
    if "anyOf" in old and "anyOf" in new:
        return all(any(_bare(o) == _bare(n) for n in new["anyOf"]) for o in old["anyOf"])
    if "items" in old and "items" in new:
        return _still_reads(old["items"], new["items"])
    return _bare(old) == _bare(new)


def _bare(shape: dict[str, Any]) -> dict[str, Any]:
    """The shape without its default and its description, which no reader needs."""
    return {key: value for key, value in shape.items() if key not in ("default", "description")}
