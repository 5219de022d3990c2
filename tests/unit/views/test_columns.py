"""What a column holds, and the nearest value that fits it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.policy import Cluster, Policy, Tier
from tests.properties.views.wild import NUMBERS, TEXTS
from views import rows
from views.columns import KEY_BYTES_MAX, _misfit, fitted, is_key_text, jsonb_document, misfit, nearest_key

ROWS = (
    rows.JobRow("main-1", "main", "acme", "free", "film", "sha256:a", "queued", 1),
    rows.AttemptRow(
        *("main-1", 1, "main", "1.2.3", "n1", "s", "east", "staged", 1, None, None, 1, 1, "", 0, 0, 4, 1, "slots"),
        others=("n2",),
    ),
    rows.JobEventRow("main-1", 1, 0, "main", 1, "JobAccepted", "queued", 0, "accepted"),
    rows.JobCopyRow("main-1", 1, "main", "k"),
    rows.NodeRow("main", "n1", "s", "east", "cpu", 1, 0, 1, ("a",), (), "ready", 1, 1),
    rows.ClusterRow("main", "east", 4, "active"),
    rows.VersionRow("main", "film", "sha256:a", msgspec.Raw(b"{}"), 1, 1),
    rows.AliasRow("main", "film", "live", "sha256:a", 1, 1),
    rows.PolicyRow("main", "sha256:f", msgspec.Raw(b"{}"), 1, 1),
)
VALUES = (
    *NUMBERS,
    *TEXTS,
    "é" * 500,
    "é" * 501,
    "x" * 1_000,
    "x" * 1_001,
    2**31 - 1,
    -(2**31),
    -(2**31) - 1,
    -(2**63),
    0,
)


@given(st.sampled_from(ROWS), st.lists(st.tuples(st.integers(0, 40), st.sampled_from(VALUES)), max_size=4))
def test_a_quick_look_finds_what_a_slow_one_does_and_what_is_fitted_fits(
    row: msgspec.Struct, changes: list[tuple[int, object]]
) -> None:
    for place, value in changes:
        name = row.__struct_fields__[place % len(row.__struct_fields__)]
        before = getattr(row, name)
        if isinstance(before, tuple):
            row = msgspec.structs.replace(row, **{name: (str(value)[:2_000],)})
        elif type(before) is type(value):
            row = msgspec.structs.replace(row, **{name: value})
    assert misfit(row) == _misfit(row)
    again = fitted(row)
    assert misfit(again) == ""
    assert (again is row) == (misfit(row) == "")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expires_ms": 2**63}, "expires_ms is a number of more than 64 bits"),
        ({"attempts": 2**31}, "attempts is a number of more than 32 bits"),
        ({"gone_by_ms": -(2**70)}, "gone_by_ms is a number of more than 64 bits"),
        ({"reason": "a\0b"}, "reason is text with the character NUL"),
        ({"tenant": "é" * 501}, "tenant is text of more than 1000 bytes"),
        ({"tenant": "é" * 500}, ""),
        ({"model": "é" * 501}, ""),
    ],
)
def test_a_misfit_is_named_and_quotes_nothing(change: dict[str, object], says: str) -> None:
    assert misfit(msgspec.structs.replace(ROWS[0], **change)) == says


def test_the_nearest_value_is_kept() -> None:
    wild = msgspec.structs.replace(ROWS[4], slots=2**40, memory_mib=-(2**70), loaded=("a\0",), session="\0")
    row = fitted(wild)
    assert isinstance(row, rows.NodeRow)
    assert (row.slots, row.memory_mib, row.loaded, row.session) == (2**31 - 1, -(2**63), ("a\ufffd",), "\ufffd")


def test_a_text_is_cut_between_two_characters() -> None:
    assert nearest_key("é" * 600) == "é" * 500
    assert nearest_key("x" + "é" * 600) == "x" + "é" * 499
    assert len(nearest_key("x" * 5_000)) == KEY_BYTES_MAX
    assert is_key_text(nearest_key("\0" * 2_000))


def test_a_document_has_no_nul_and_says_the_same_otherwise() -> None:
    policy = Policy({"a\0": Tier(10**400)}, {}, {"b": Cluster("main\0", 2)})
    read = msgspec.json.decode(bytes(jsonb_document(policy)), type=Policy)
    assert read == Policy({"a\ufffd": Tier(10**400)}, {}, {"b": Cluster("main\ufffd", 2)})
    plain = Policy({"a": Tier(1)}, {}, {})
    assert bytes(jsonb_document(plain)) == msgspec.json.encode(plain)
