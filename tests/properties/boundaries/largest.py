"""The largest legal instance of every record type, made from the types: names as long as names may be, numbers as large
as doors take, lists as long as their writers make them. A field of a kind that is not named here fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import inspect

from contract import bounds
from contract.batch import BATCH_BYTES_MAX, Batch
from contract.codec import encode
from contract.inputs import FAILURE_KINDS, HOLDING, LAYERS, JobSubmitted, NodeReport, Report
from contract.media import MEDIA_MAX
from contract.names import dispatch_id, payload_digest
from contract.policy import DISCIPLINES, ISOLATIONS, UNLIMITED, Cluster, Policy, Pool, Tier, fingerprint
from contract.prepared import CHANGES
from gpu_worker.io.outputs import OUTPUTS_MAX
from operations.erasure import OFFSETS_MAX
from whatif.shadow.log import ENTRIES_MAX

Record = TypeVar("Record", bound=msgspec.Struct)

N = bounds.NUMBER_MAX
LONG = 63
"""Characters of the longest name (contract.names.NAME)."""


def name_of(letter: str, number: int = 0) -> str:
    """A name as long as names may be. Names with other numbers are others."""
    return f"{letter}{number:0{LONG - 1}}"


POOL, NODE, CLUSTER, TENANT, TIER, MODEL, ALIAS = (name_of(letter) for letter in "pncutma")
JOB = f"{POOL}-{'f' * 32}"
DIGEST = "sha256:" + "f" * 64
DISPATCH = dispatch_id(N, N, N)
ADDRESS = f"{NODE}.{'x' * 189}:64535"
"""A host's name has 253 characters at most."""
SESSION = "s" * 64
TEXT = "\U0001f600" * (bounds.TEXT_MAX // 4)
"""As many bytes as a text in a record of `jobs` may have."""
PAYLOAD_BYTES = 4_096
"""The payload that `Policy.payload_bytes_max` allows in these tests: the rest of a record does not depend on it."""

TEXTS: dict[str, str] = {
    **dict.fromkeys(("job", "jobs", "next_job", "passed"), JOB),
    **dict.fromkeys(("preparation", "prepared"), DISPATCH),
    **dict.fromkeys(("prepares", "rules"), DIGEST),
    **dict.fromkeys(("container", "codec", "form", "field"), name_of("c")),
    **dict.fromkeys(("source_sha256",), "f" * 64),
    "changes": max(CHANGES, key=len),
    "source": f"job:{JOB}/{'o' * 128}",
    "upload": "u-" + "f" * 32,
    **dict.fromkeys(("dispatch", "running", "staged", "missing", "unlisted"), DISPATCH),
    **dict.fromkeys(("digest", "version", "manifest", "fingerprint", "loaded", "cached_digest"), DIGEST),
    **dict.fromkeys(("cached",), DIGEST),
    **dict.fromkeys(("node", "nodes"), NODE),
    **dict.fromkeys(("address", "rendezvous"), ADDRESS),
    **dict.fromkeys(("salt", "identity"), "f" * 32),
    **dict.fromkeys(("sha256", "prev_hash"), "f" * 64),
    **dict.fromkeys(("chipset", "chipsets", "topic", "shadow", "run"), name_of("x")),
    **dict.fromkeys(("reason", "message", "key"), TEXT),
    "pool": POOL,
    "cluster": CLUSTER,
    "tenant": TENANT,
    "tier": TIER,
    "model": f"{MODEL}@{DIGEST}",
    "alias": ALIAS,
    "session": SESSION,
    "release": "9.99.99.dev9999",
    "signer": f"node.{CLUSTER}/{NODE}",
    "via": "kafka",
    "kind": max(FAILURE_KINDS, key=len),
    "error": "ProcessRaisedException",
    "holding": max(HOLDING, key=len),
    "bound": "nothing",
    "discipline": max(DISCIPLINES, key=len),
    "isolation": max(ISOLATIONS, key=len),
    "layers_missing": max(LAYERS, key=len),
    "by": "b" * 100,
    "actor": f"node.{CLUSTER}/{NODE}:" + "b" * 100,
    "traceparent": "00-" + "f" * 32 + "-" + "f" * 16 + "-01",
    "name": "o" * 128,
    "media_type": "m" * 127,
    "value_base64": "",
}
LENGTHS: dict[str, int] = {
    "running": bounds.SLOTS_MAX,
    "staged": bounds.HELD_MAX - bounds.SLOTS_MAX,
    "loaded": bounds.SLOTS_MAX,
    "cached": (bounds.CACHED_BYTES_MAX - 2) // (len(DIGEST) + 3),
    "missing": bounds.HELD_MAX,
    "unlisted": bounds.HELD_MAX,
    "chipsets": 8,
    "members": 63,
    "nodes": 64,
    "ranks": 64,
    "offsets": OFFSETS_MAX,
    "jobs": bounds.HELD_MAX,
    "files": OUTPUTS_MAX,
    "layers_missing": len(LAYERS),
    "changes": len(CHANGES),
    "outputs": MEDIA_MAX,
    **dict.fromkeys(("taken", "dispatched", "started", "live_started"), ENTRIES_MAX // 4),
    **dict.fromkeys(("left_out", "slos_ms"), 32),
    **dict.fromkeys(("reports", "orders", "inputs", "events"), 1),
}
"""How long the lists of a record are. Those that are cut by their size are filled below."""


def largest(kind: type[Record]) -> Record:
    """The largest instance of this record type that its writer writes and its readers take."""
    made: Any = _struct(inspect.type_info(kind))
    filled = _FILLED.get(kind)
    return made if filled is None else filled(made)  # type: ignore[no-any-return]


def _struct(info: inspect.Type) -> Any:
    assert isinstance(info, inspect.StructType)
    if info.cls is Policy:
        return largest_policy()
    return info.cls(**{field.name: _value(field.type, field.name) for field in info.fields})


def _value(info: inspect.Type, name: str) -> Any:
    match info:
        case inspect.StrType():
            return TEXTS[name]
        case inspect.BoolType():
            return False  # a letter longer than true
        case inspect.IntType():
            return _number(name)
        case inspect.FloatType():
            return 1.2345678901234567e-300
        case inspect.RawType():
            return msgspec.Raw(b'"' + b"i" * (PAYLOAD_BYTES - 2) + b'"')
        case inspect.UnionType(types=types):
            kinds = [kind for kind in types if not isinstance(kind, inspect.NoneType)]
            return max((_value(kind, name) for kind in kinds), key=lambda one: len(msgspec.json.encode(one)))
        case inspect.VarTupleType(item_type=item):
            if isinstance(item, inspect.IntType):
                return tuple(range(LENGTHS[name])) if name == "ranks" else (N,) * LENGTHS[name]
            return (_value(item, name),) * LENGTHS[name]
        case inspect.DictType(value_type=inner):
            return {name_of("k", number): _value(inner, name) for number in range(LENGTHS[name])}
        case inspect.StructType():
            return _struct(info)
    raise NotImplementedError(f"expected a kind of field that records have, found {info}; say here how large it is")


_NUMBERS = {
    "partition": 999,
    "slots": bounds.SLOTS_MAX,
    "holds": bounds.HELD_MAX,
    "usable": bounds.SLOTS_MAX,
    "ranks": 64,
    "world": 64,
    "media": MEDIA_MAX,
}


def _number(name: str) -> int:
    if name in _NUMBERS:
        return _NUMBERS[name]
    return bounds.TIME_MS_MAX if name in ("expires_ms", "deadline_ms", "submitted_ms") else N


def largest_policy() -> Policy:
    """A policy of as many bytes as policies may have, with the longest names."""
    base = Policy(
        tiers={TIER: Tier(100_000), name_of("t", 1): Tier(10_000)},
        pools={POOL: Pool(999)},
        clusters={CLUSTER: Cluster(POOL, UNLIMITED, 999, True, UNLIMITED)},
        payload_bytes_max=PAYLOAD_BYTES,
        discipline="promise",
    )
    room = bounds.POLICY_BYTES_MAX - len(msgspec.json.encode(base))
    weights = {name_of("w", number): 1_000 for number in range(room // (LONG + 8))}
    return msgspec.structs.replace(base, tenant_weights=weights)


def _with_fingerprint(made: Any) -> Any:
    return msgspec.structs.replace(made, fingerprint=fingerprint(made.policy))


def _with_digest(made: JobSubmitted) -> JobSubmitted:
    digest = payload_digest(made.salt, bytes(made.inputs))
    return msgspec.structs.replace(made, submission=msgspec.structs.replace(made.submission, digest=digest))


def _full_of(field: str, bytes_max: int, kinds: tuple[type[msgspec.Struct], ...]) -> Callable[[Any], Any]:
    """The record with as many of its largest parts as its writer puts into one."""

    def fill(made: Any) -> Any:
        part = max((largest(kind) for kind in kinds), key=lambda one: len(encode(one)))
        empty = msgspec.structs.replace(made, **{field: ()})
        room = bytes_max - len(encode(empty))
        return msgspec.structs.replace(made, **{field: (part,) * max(1, room // (len(encode(part)) + 1))})

    return fill


def _filled() -> dict[type, Callable[[Any], Any]]:
    from contract import events, inputs, shadows

    return {
        JobSubmitted: _with_digest,
        inputs.PolicyApplied: _with_fingerprint,
        events.PolicyAdopted: _with_fingerprint,
        events.PolicyReverted: _with_fingerprint,
        shadows.ShadowBegan: _with_fingerprint,
        NodeReport: _full_of("reports", bounds.REPORTS_BYTES_MAX, get_args(Report)),
        Batch: _full_of("events", BATCH_BYTES_MAX, (events.JobDispatched, events.JobAccepted)),
    }


_FILLED = _filled()
