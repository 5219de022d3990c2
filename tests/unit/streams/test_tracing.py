"""A trace context is taken when it is well formed; whatever else stands in a header is no trace context."""

from __future__ import annotations

import pytest

from streams.door.tracing import traceparent_of

GOOD = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def test_the_first_well_formed_trace_context_is_taken() -> None:
    headers = [("ce_id", b"1"), ("traceparent", b"no"), ("traceparent", GOOD.encode()), ("traceparent", b"00-x")]
    assert traceparent_of(headers) == GOOD


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff\xfe", GOOD.encode() + b"\n", GOOD.upper().encode(), GOOD.encode()[:-1]]
)
def test_anything_else_is_none(value: bytes | None) -> None:
    assert traceparent_of([("traceparent", value)]) == ""


def test_a_record_without_headers_has_none() -> None:
    assert traceparent_of([]) == ""
