"""Bytes as a child may write them into its pipe: frames, near misses, and anything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(max_size=12) | st.sampled_from(("half \ud83d", "caf\udce9", "a\0b"))
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none()
VALUES = st.recursive(
    NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.integers(), inner, max_size=4),
    max_leaves=10,
)
"""What `predict` may put into what it returns."""

GOOD_VALUES = st.dictionaries(st.text("ab", max_size=4), st.integers(0, 9) | st.text("words", max_size=5), max_size=3)


def written(value: Any) -> bytes:
    """JSON as Python writes it by default: with NaN, and with half a surrogate pair as it is."""
    return json.dumps(value).encode()


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@st.composite
def bodies(draw: st.DrawFn, dispatch: str = "d") -> bytes:
    """The body of one frame, as `run_model.py` writes frames and as it never would."""
    good = draw(st.sampled_from((True, True, True, False)))
    words = draw(st.text("words", max_size=8) if good else TEXTS)
    frame: dict[str, Any] = draw(
        st.sampled_from(
            (
                {"type": "loaded"},
                {"type": "progress", "dispatch": dispatch, "fraction": 0.5, "message": words},
                {"type": "succeeded", "dispatch": dispatch, "outputs": [], "values": {}},
                {"type": "failed", "dispatch": dispatch, "kind": "model_error", "error": words, "detail": words},
            )
        )
    )
    frame = dict(frame)
    if frame["type"] == "succeeded":
        frame["values"] = draw(GOOD_VALUES if good else VALUES)
        frame["outputs"] = draw(st.lists(TEXTS, max_size=3)) if not good else []
    if frame["type"] == "progress" and not good:
        frame["fraction"] = draw(NUMBERS | TEXTS)
    return written(frame)


PIECES = st.sampled_from((b"\xff", b"[" * 3_000, b"1e999", b"9" * 5_000, b"NaN", b"\\ud83d", b"\0", b'"', b"}"))


@st.composite
def broken(draw: st.DrawFn, body: st.SearchStrategy[bytes]) -> bytes:
    """The body with something put in."""
    raw = draw(body)
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(PIECES) + raw[at:]


@st.composite
def whole_frames(draw: st.DrawFn, dispatch: str = "d", most: int = 6) -> bytes:
    """At most `most` frames whose lengths are right; most of them are good."""
    good = bodies(dispatch)
    frames = []
    for how in draw(st.lists(st.integers(0, 11), min_size=1, max_size=most)):
        frames.append(framed(draw({0: broken(good), 1: st.binary(max_size=12)}.get(how, good))))
    return b"".join(frames)


@st.composite
def any_bytes(draw: st.DrawFn) -> bytes:
    """Frames; one time in four something follows that is no frame, or only the beginning of a frame."""
    raw = draw(whole_frames())
    if draw(st.integers(0, 3)):
        return raw
    return raw + draw(st.binary(max_size=40) | st.just(b"\xff\xff\xff\xff"))
