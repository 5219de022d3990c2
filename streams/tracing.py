"""The W3C trace context that travels in the headers of records."""

from __future__ import annotations

from collections.abc import Sequence

LENGTH = 55
"""Of a `traceparent` of version 00."""


def traceparent_of(headers: Sequence[tuple[str, bytes]]) -> str:
    """The record's trace context, or an empty string when it has none that is well formed."""
    for name, value in headers:
        if name == "traceparent" and len(value) == LENGTH and value.isascii():
            return value.decode()
    return ""
