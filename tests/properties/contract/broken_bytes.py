"""Bytes that are nearly a record: for properties of doors."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = st.sampled_from(
    (
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"1e999",
        b"9" * 5_000,
        b"NaN",
        b"-",
        b"\\ud83d",
        b"\\u0000",
        b"\0",
        b"\xff",
    )
)


@st.composite
def broken(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes. One time in four something is put in, taken out, or both."""
    raw = draw(good)
    if draw(st.sampled_from((True, True, True, False))):
        return raw
    start = draw(st.integers(0, len(raw)))
    stop = draw(st.integers(start, min(len(raw), start + 3)))
    return raw[:start] + draw(PIECES) + raw[stop:]
