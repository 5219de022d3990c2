"""The pipe is a door. Whatever a child writes is frames or a BadFrame. Its values are taken, or refused with the place
of the fault. What is taken goes through everything behind the pipe."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract import bounds
from contract.codec import Malformed, decode_progress, decode_result, decode_values, encode
from contract.error_names import error_name
from contract.results import ResultManifest
from contract.side_topics import AttemptProgressed
from gpu_worker.child import run_model
from gpu_worker.child.messages import FromModel, ModelFailed, ModelProgressed, ModelSucceeded, frame_decoder
from gpu_worker.io.checker import decoded_object
from gpu_worker.rules.outcome import claimed
from runtime.worker.frames import FRAME_BYTES_MAX, BadFrame
from tests.properties.gpu_worker.frames import GOOD_VALUES, TEXTS, VALUES, any_bytes, written

SEVERAL = settings(max_examples=150, derandomize=True, deadline=None)
"""The same examples every time, because how many of them are taken is part of the claim."""


def fed(pieces: list[bytes]) -> list[FromModel | BadFrame]:
    decoder = frame_decoder()
    found: list[FromModel | BadFrame] = []
    for piece in pieces:
        found += decoder.feed(piece)
        assert len(decoder._received) <= 4 + FRAME_BYTES_MAX + len(piece)
        if found and isinstance(found[-1], BadFrame):
            assert not decoder._received
            break
    return found


def refusal_of(values: bytes) -> str:
    try:
        decoded_object(values)
    except Malformed as refused:
        return str(refused)
    return ""


def behind_the_pipe(frame: FromModel) -> bool:
    """Lets every part that reads what a child says read the frame. False for values that are refused."""
    match frame:
        case ModelProgressed(fraction=fraction, message=message):
            told = AttemptProgressed("j", "1.1.0", min(1.0, max(0.0, fraction)), bounds.mended(message[:200]))
            assert decode_progress(encode(told)) == told
        case ModelFailed(kind=kind, error=error, detail=detail):
            failure = claimed(kind, error, detail)
            assert failure.error == error_name(failure.error)
            assert "\0" not in failure.detail.encode().decode()
        case ModelSucceeded(values=values):
            reason = refusal_of(bytes(values))
            assert reason.isprintable()
            if reason:
                return False
            manifest = ResultManifest("j", "1.1.0", "v", values, ())
            read = decode_result(encode(manifest))
            assert isinstance(json.loads(bytes(read.values)), dict)
            json.dumps(json.loads(encode(manifest)), ensure_ascii=False, allow_nan=False).encode()
    return True


def refused(values: str) -> bytes:
    """A frame whose values no part behind the pipe can hold."""
    body = b'{"type":"succeeded","dispatch":"1.1.0","outputs":[],"values":%s}' % values.encode()
    return len(body).to_bytes(4, "big") + body


def test_any_bytes_in_any_pieces_are_the_same_frames_or_a_bad_one() -> None:
    seen: Counter[str] = Counter()

    @SEVERAL
    @given(any_bytes(), st.lists(st.integers(0, 80), max_size=6))
    @example(refused('{"title":"half \\ud83d"}'), [7])
    @example(refused('{"n":1e999}'), [])
    @example(refused('{"t":"\\u0000"}'), [1, 2, 3])
    @example(refused("[]"), [])
    def written_by_a_child(raw: bytes, cuts: list[int]) -> None:
        edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
        frames = fed([raw[start:end] for start, end in pairwise(edges)])
        assert frames == fed([raw]) == fed([raw[at : at + 1] for at in range(len(raw))])
        for frame in frames:
            if isinstance(frame, BadFrame):
                seen["bad"] += 1
                assert frame is frames[-1]
                assert frame.reason.isprintable()
            else:
                seen["taken" if behind_the_pipe(frame) else "values refused"] += 1

    written_by_a_child()
    assert 3 * seen["taken"] >= seen.total() > 100, seen
    assert min(seen["bad"], seen["values refused"]) > 3, seen


def test_a_child_refuses_what_the_agent_would_and_says_where() -> None:
    seen: Counter[str] = Counter()

    @SEVERAL
    @given(st.dictionaries(TEXTS, VALUES, max_size=4) | GOOD_VALUES | st.dictionaries(st.text(max_size=3), VALUES))
    def returned(values: dict[Any, Any]) -> None:
        fault = run_model.fault_of(values)
        seen["refused" if fault else "taken"] += 1
        if fault:
            assert fault.startswith("values")
            assert ": expected " in fault
            with_words_mended = bounds.mended(fault)
            assert with_words_mended == fault
            return
        frame = run_model.succeeded("d", values, [])
        (got,) = frame_decoder().feed(len(frame).to_bytes(4, "big") + frame)
        assert isinstance(got, ModelSucceeded)
        assert behind_the_pipe(got)

    returned()
    assert 3 * seen["taken"] >= seen.total() > 100, seen
    assert seen["refused"] > 15, seen


def test_a_child_refuses_nothing_that_the_agent_would_take() -> None:
    @SEVERAL
    @given(st.dictionaries(TEXTS, VALUES, max_size=4))
    def returned(values: dict[Any, Any]) -> None:
        try:
            decode_values(written(values), "values")
        except Malformed:
            return
        assert run_model.fault_of(values) == ""

    returned()


@settings(derandomize=True)
@given(st.text() | TEXTS)
def test_both_ends_mend_words_alike(words: str) -> None:
    mended = run_model.mended(words)
    assert mended == bounds.mended(words)
    assert msgspec.json.decode(written(mended)) == mended
