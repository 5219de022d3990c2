"""The W3C trace context that travels in the headers of records."""

from __future__ import annotations

from collections.abc import Sequence

from contract.names import TRACEPARENT


def traceparent_of(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """The record's trace context, or an empty string when it has none that is well formed."""
    for name, value in headers:
        if name == "traceparent" and value is not None:
            text = value.decode("ascii", "replace")
            if TRACEPARENT.fullmatch(text):
                return text
    return ""
