"""The W3C trace context that travels in the headers of records."""

from __future__ import annotations

from collections.abc import Sequence

from contract.names import TRACEPARENT


def traceparent_of(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """The trace context of the record; empty when the record has no well-formed one."""
    for name, value in headers:
        if name == "traceparent" and value is not None:
            text = value.decode("ascii", "replace")
            if TRACEPARENT.fullmatch(text):
                return text
    return ""
