"""Records of the contract, made by chance from their Structs: one generator for all of them, so a new record type and a
new field are in it by construction.

Most fields get what their name promises (a job's id, a version's digest, a moment), so that most records are taken and
reach the parts behind the door. Some fields get the largest or the oddest value of their type that is legal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from contract import bounds
from contract.inputs import FAILURE_KINDS, Requirements
from contract.lifecycle import JobState
from contract.names import payload_digest
from contract.policy import DISCIPLINES, Cluster, Policy, fingerprint
from tests.unit.scheduling.specification import MANIFEST, POLICY, POOL, START_MS, a_job, version_of

Record = TypeVar("Record", bound=msgspec.Struct)

SALT = "ab" * 16
INPUTS = (b'{"prompt":"a ball"}', b"{}", b'{"n":1e300,"seed":18446744073709551615}', b'{"a":[[1]]}', b"7", b"null")
ODD_TEXTS = ("", "x" * 999, "ü 漢 \U0001f600", "\x7f\x1b[31m", "../../etc", "\ufffd", "a b", "9.9.9", "é" * 500)
ODD_NUMBERS = (0, 1, -1, 64, 256, 2**31, bounds.TIME_MS_MAX, bounds.NUMBER_MAX, -bounds.NUMBER_MAX)
ODD_ONE_IN = 12
"""One field in so many is odd, though legal at every door that only checks bounds."""
MODELS = ("shapes", "film", "gang")
VERSIONS = tuple(version_of(f"{model}/v1") for model in MODELS)
REQUIREMENTS = {
    "shapes": Requirements(("cpu",), 0),
    "film": Requirements(("cpu", "cuda"), 0, 64),
    "gang": Requirements(("cpu",), 0, 0, 2),
}
DISPATCHES = tuple(f"1.{seq}.{index}" for seq in range(12) for index in range(3))

BY_NAME: dict[str, tuple[str, ...]] = {
    "job": tuple(map(a_job, range(6))),
    "next_job": ("", a_job(1)),
    "passed": ("", a_job(2)),
    "dispatch": DISPATCHES,
    "running": DISPATCHES,
    "staged": DISPATCHES,
    "missing": DISPATCHES,
    "node": ("n1", "n2"),
    "nodes": ("n1", "n2"),
    "session": ("s1", "s2"),
    "cluster": ("east", "west"),
    "tier": ("free", "api", "light"),
    "tenant": ("acme", "zeta"),
    "model": MODELS,
    "alias": ("live", "next"),
    "version": VERSIONS,
    "loaded": VERSIONS,
    "cached": VERSIONS,
    "digest": (payload_digest(SALT, INPUTS[0]),),
    "manifest": (MANIFEST,),
    "fingerprint": (fingerprint(POLICY),),
    "salt": (SALT,),
    "pool": (POOL,),
    "chipset": ("cpu", "cuda"),
    "chipsets": ("cpu", "cuda"),
    "kind": FAILURE_KINDS,
    "error": ("ValueError", "OtherError", ""),
    "via": ("api", "kafka"),
    "state": tuple(state.value for state in JobState),
    "reason": ("killed", "recalled", "drained", "unclaimed", "cancel", "erase", "lost"),
    "address": ("", "n1:29500"),
    "rendezvous": ("", "n1:29500"),
    "topic": ("submissions", "jobs"),
    "value_base64": ("eyJ9", ""),
    "prev_hash": ("0" * 64, "a" * 64),
    "traceparent": ("", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    "sha256": ("a" * 64,),
    "name": ("clip.mp4", "log.txt"),
    "media_type": ("video/mp4",),
    "bound": ("slots", "limit", "nothing"),
    "discipline": DISCIPLINES,
}
NUMBERS_BY_NAME: dict[str, tuple[int, ...]] = {
    "slots": (1, 2, 8, bounds.SLOTS_MAX),
    "gpus": (0, 0, 1),
    "ranks": (1, 1, 2, 8),
    "memory_mib": (0, 4_096),
    "world": (1, 2),
    "holds": (0, 4, bounds.HELD_MAX),
    "expires_ms": (0, 0, 1, START_MS + 60_000, bounds.TIME_MS_MAX),
    "submitted_ms": (0, START_MS - 5_000, START_MS),
    "timeout_ms": (1_000, 60_000),
    "deadline_ms": (0, START_MS + 10_000),
    "revert_below_permille": (0,),
    "revert_jobs": (0,),
    "move": (1, 2, 3),
    "partition": (0,),
    "attempt": (1, 2),
    "epoch": (1, 2),
}


def record(chance: Random, kind: type[Record]) -> Record:
    """A record of this type. The records that need it are made to fit together: a policy and its fingerprint, a payload
    and its digest."""
    made: Any = _struct(chance, inspect.type_info(kind), odd=True)
    for changed in map(_FITTED.get, kind.__mro__):
        if changed is not None and chance.randrange(ODD_ONE_IN):
            made = changed(chance, made)
    return made  # type: ignore[no-any-return]


def policy(chance: Random) -> Policy:
    """A policy that may be put in force, or nearly."""
    clusters = {
        name: msgspec.structs.replace(
            entry,
            limit=chance.choice((1, 4, 10**9, 999_999_999)),
            staged_per_slot=chance.choice((0, 1, 3, 10**9)),
            adaptive=chance.random() < 0.3,
        )
        for name, entry in POLICY.clusters.items()
    }
    if not chance.randrange(4):
        clusters[chance.choice(("x" * 63, "a.b_c-d", "0"))] = Cluster(POOL, 1)
    changes: dict[str, Any] = {
        "discipline": chance.choice(DISCIPLINES),
        "failures_max": chance.choice((1, 4, 999_999_999)),
        "tenant_weights": chance.choice(({}, {"acme": 1_000}, {f"t{n}": 1 for n in range(300)})),
        "look_ahead_jobs": chance.choice((0, 1, 64, 999_999_999)),
        "submission_age_max_ms": chance.choice((1, 60_000, 259_200_000, 315_360_000_000)),
        "promise_max": chance.choice((1, 20, 999_999_999)),
        "switch_percent": chance.choice((1, 10, 999_999_999)),
    }
    kept = {name: value for name, value in changes.items() if not chance.randrange(4)}
    return msgspec.structs.replace(POLICY, clusters=clusters, **kept)


@cache
def _names(kind: type) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _struct(chance: Random, info: inspect.Type, odd: bool) -> Any:
    assert isinstance(info, inspect.StructType)
    if info.cls is Policy:
        return policy(chance)
    if info.cls is Requirements:
        return chance.choice(tuple(REQUIREMENTS.values()))
    return info.cls(**{field.name: value(chance, field.type, field.name, odd) for field in _names(info.cls)})


def value(chance: Random, info: inspect.Type, name: str, odd: bool = True) -> Any:
    """What a field of this type and name may hold."""
    strange = odd and not chance.randrange(ODD_ONE_IN)
    match info:
        case inspect.StrType():
            return chance.choice(ODD_TEXTS if strange else BY_NAME.get(name, ("words",)))
        case inspect.BoolType():
            return chance.random() < 0.5
        case inspect.IntType():
            return chance.choice(ODD_NUMBERS if strange else NUMBERS_BY_NAME.get(name, _numbers_of(name)))
        case inspect.FloatType():
            return chance.choice((0.0, 0.25, 1.0, 1e300, -1.0, 5e-324) if strange else (0.0, 0.5, 1.0))
        case inspect.RawType():
            return msgspec.Raw(chance.choice(INPUTS if strange else INPUTS[:1]))
        case inspect.NoneType():
            return None
        case inspect.EnumType(cls=cls):
            return chance.choice(tuple(cls))
        case inspect.LiteralType(values=values):
            return chance.choice(values)
        case inspect.UnionType(types=types):
            return value(chance, chance.choice(types), name, odd)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            made = [value(chance, item, name, odd) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
            return made if isinstance(info, inspect.ListType) else tuple(made)
        case inspect.TupleType(item_types=items):
            return tuple(value(chance, item, name, odd) for item in items)
        case inspect.DictType(key_type=key, value_type=inner):
            return {
                value(chance, key, "name", odd): value(chance, inner, name, odd) for _ in range(chance.randrange(3))
            }
        case inspect.StructType():
            return _struct(chance, info, odd)
    raise NotImplementedError(f"expected a type that the contract has, found {info}; say here what it may hold")


def _numbers_of(name: str) -> tuple[int, ...]:
    return (0, 1_000, START_MS) if name.endswith("_ms") else (0, 1, 2, 7)


def _with_its_fingerprint(chance: Random, made: Any) -> Any:
    return msgspec.structs.replace(made, fingerprint=fingerprint(made.policy))


def _with_its_digest(chance: Random, made: Any) -> Any:
    digest = payload_digest(SALT, bytes(made.inputs))
    return msgspec.structs.replace(made, salt=SALT, submission=msgspec.structs.replace(made.submission, digest=digest))


def _with_the_requirements_of_its_model(chance: Random, made: Any) -> Any:
    wanted = REQUIREMENTS.get(made.model)
    if wanted is None:
        return made
    return msgspec.structs.replace(made, version=version_of(f"{made.model}/v1"), requirements=wanted)


def _fitted() -> dict[type, Callable[[Random, Any], Any]]:
    from contract import events, inputs, shadows

    return {
        inputs.PolicyApplied: _with_its_fingerprint,
        events.PolicyAdopted: _with_its_fingerprint,
        events.PolicyReverted: _with_its_fingerprint,
        shadows.ShadowBegan: _with_its_fingerprint,
        inputs.JobSubmitted: _with_its_digest,
        inputs.VersionPublished: _with_the_requirements_of_its_model,
        events.VersionRegistered: _with_the_requirements_of_its_model,
    }


_FITTED = _fitted()
