"""Records of any content, for properties of doors: each field right, odd, or out of bounds."""

from __future__ import annotations

import types
import typing
from typing import Any, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from contract.inputs import Wire
from contract.policy import Policy, fingerprint
from tests.unit.scheduling.specification import POLICY, a_job, version_of

NAMES = ("n1", "n2", "s0", "s1", "east", "west", "main", "acme", "free", "api", "model0", "live", "cpu", "cuda")
TEXTS = st.sampled_from(
    (
        *NAMES,
        *(a_job(number) for number in range(4)),
        *(version_of(name) for name in ("model0/v1", "model1/v1")),
        "model0@live",
        "1.2.0",
        "9.9.9",
        "kafka",
        "n1:29500",
        "succeeded",
        "killed",
        "model_error",
        "",
        "x" * 999,
        "ü 漢 \U0001f600",
        "\x7f\x1b[31m",
        "../../etc",
        "a\0b",
        "x" * 1_001,
    )
)
LEGAL = (0, 1, 2, 3, 5, 7, 9, 16, 64, 100, 256, 4_096, 65_536, -1, 1_700_000_000_000, 2**53 - 1, 1 - 2**53)
NUMBERS = st.sampled_from((*LEGAL, 2**53, 2**63, 10**30))
POLICIES = st.builds(
    lambda discipline, limit, staged: msgspec.structs.replace(
        POLICY,
        discipline=discipline,
        clusters={
            name: msgspec.structs.replace(entry, limit=limit, staged_per_slot=staged)
            for name, entry in POLICY.clusters.items()
        },
    ),
    st.sampled_from(("promise", "wait_fraction", "luck")),
    st.sampled_from((1, 4, 0, -1, 10**9)),
    st.sampled_from((0, 1, -3)),
)


def records(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Records of a type of the contract."""
    hints = typing.get_type_hints(kind)
    fields = {field.name: _values(hints[field.name]) for field in msgspec.structs.fields(kind)}
    made = st.builds(kind, **fields)
    return made.map(_with_its_fingerprint) if "fingerprint" in fields else made


def wire() -> st.SearchStrategy[Any]:
    """Records of `jobs`."""
    return st.one_of([records(kind) for kind in get_args(Wire)])


def _with_its_fingerprint(record: Any) -> Any:
    return msgspec.structs.replace(record, fingerprint=fingerprint(record.policy))


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin = get_origin(hint)
    if hint is str:
        return TEXTS
    if hint is bool:
        return st.booleans()
    if hint is int:
        return NUMBERS
    if hint is msgspec.Raw:
        return st.sampled_from((b"{}", b'{"prompt":"a ball"}', b'{"n":1e300}', b'{"a":[[1]]}', b"7")).map(msgspec.Raw)
    if hint is Policy:
        return POLICIES
    if isinstance(hint, types.UnionType) or origin is typing.Union:
        return st.one_of([_values(arm) for arm in get_args(hint)])
    if origin is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=3).map(tuple)
    return records(hint)
