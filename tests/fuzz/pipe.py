"""Doors of the pipe between an agent and a child process, both ways, and of what a child returns."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from random import Random
from typing import Any, get_args

import msgspec

from contract import bounds
from contract.codec import Malformed, decode_progress, decode_result, decode_values, encode
from contract.results import ResultManifest
from contract.side_topics import AttemptProgressed
from gpu_worker.child import agent_pipe, run_model
from gpu_worker.child.messages import (
    FromModel,
    LoadModel,
    ModelFailed,
    ModelProgressed,
    ModelSucceeded,
    ToModel,
    frame_decoder,
)
from gpu_worker.io.checker import decoded_object
from gpu_worker.io.checker import fault as fault_of_output
from gpu_worker.rules.outcome import claimed
from runtime.worker import frames
from runtime.worker.frames import FRAME_BYTES_MAX, BadFrame
from tests.fuzz.door import Door
from tests.fuzz.mutations import changed, mostly_good, several, written
from tests.fuzz.records import record

FROM_CHILD, TO_CHILD = get_args(FromModel), get_args(ToModel)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def frame(chance: Random) -> bytes:
    return framed(mostly_good(chance, msgspec.json.encode(record(chance, chance.choice(FROM_CHILD)))))


def said_by_a_child(chance: Random) -> tuple[bytes, list[int]]:
    """Frames in pieces, and where they are cut."""
    raw = b"".join(several(chance, 5, frame))
    match chance.randrange(6):
        case 0:
            raw = changed(chance, raw)
        case 1:
            raw += chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", chance.randbytes(9)))
    return raw, [chance.randint(0, len(raw)) for _ in range(chance.randrange(6))]


def fed(pieces: list[bytes]) -> list[FromModel | BadFrame]:
    decoder = frame_decoder()
    arrived: list[FromModel | BadFrame] = []
    for piece in pieces:
        arrived += decoder.feed(piece)
        assert len(decoder._received) <= 4 + FRAME_BYTES_MAX + len(piece)
        if arrived and isinstance(arrived[-1], BadFrame):
            assert not decoder._received
            break
    return arrived


def feed_agent(example: tuple[bytes, list[int]]) -> bool:
    """The same frames in whatever pieces they come; what they say goes through the agent."""
    raw, cuts = example
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    arrived = fed([raw[start:end] for start, end in pairwise(edges)])
    assert arrived == fed([raw])
    if len(raw) < 2_000:
        assert arrived == fed([raw[at : at + 1] for at in range(len(raw))])
    good = [one for one in arrived if not isinstance(one, BadFrame)]
    for bad in arrived:
        if isinstance(bad, BadFrame):
            assert bad is arrived[-1]
            assert bad.reason.isprintable()
    for one in good:
        behind_the_pipe(one)
    return bool(good)


def behind_the_pipe(one: FromModel) -> bool:
    """Lets every part that reads what a child says read the frame. False for values that are refused."""
    match one:
        case ModelProgressed(fraction=fraction, message=message):
            told = AttemptProgressed("j", "1.1.0", min(1.0, max(0.0, fraction)), bounds.mended(message[:200]))
            assert decode_progress(encode(told)) == told
        case ModelFailed(kind=kind, error=error, detail=detail):
            failure = claimed(kind, error, detail)
            assert "\0" not in failure.detail.encode().decode()
        case ModelSucceeded(values=values):
            fault = fault_of_output(b"{}", bytes(values))
            if fault is not None:
                assert bounds.visible(str(fault)) == str(fault)
                return False
            manifest = ResultManifest("j", "1.1.0", "v", values, ())
            read = decode_result(encode(manifest))
            assert isinstance(json.loads(bytes(read.values)), dict)
            json.dumps(json.loads(encode(manifest)), ensure_ascii=False, allow_nan=False).encode()
    return True


def told_to_a_child(chance: Random) -> bytes:
    return b"".join(
        frames.encode(record(chance, kind)) for kind in (LoadModel, *(chance.choice(TO_CHILD) for _ in range(3)))
    )


def feed_child(raw: bytes) -> bool:
    """What an agent says, its child reads: the child trusts its agent, whose records are the contract's."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    pipe = agent_pipe.Pipe(reading)
    try:
        assert os.write(writing, raw) == len(raw)
        found = []
        while (one := pipe.poll()) is not None:
            found.append(one)
    except BlockingIOError:
        pass
    finally:
        os.close(writing)
        os.close(reading)
    assert [one["type"] for one in found][:1] == ["load"]
    assert len(found) == 4
    return True


def returned(chance: Random) -> dict[Any, Any]:
    """What `predict` may return: mostly JSON, sometimes what no JSON holds."""
    made: dict[Any, Any] = {"prompt": "a ball", "n": chance.randrange(10), "list": [1, {"a": None}]}
    if chance.random() < 0.5:
        made[chance.choice(("x", "\0", 7, "\ud83d", ""))] = chance.choice(
            (
                float("nan"),
                float("inf"),
                2**64,
                -(2**63) - 1,
                2**64 - 1,
                "\0",
                "half \ud83d",
                b"bytes",
                (1, 2),
                None,
                {1: 2},
            )
        )
    return made


def feed_returned(values: dict[Any, Any]) -> bool:
    """A child refuses what its agent would refuse, and nothing that its agent would take."""
    fault = run_model.fault_of(values)
    if fault:
        assert fault.startswith("values")
        assert ": expected " in fault
        assert bounds.mended(fault) == fault
        try:
            decode_values(written(values), "values")
        except (Malformed, TypeError):
            return False
        raise AssertionError(f"expected the child to take what its agent takes, found: {fault}")
    body = run_model.succeeded("d", values, [], [])
    (got,) = frame_decoder().feed(framed(body))
    assert not isinstance(got, BadFrame)
    assert behind_the_pipe(got)
    assert decoded_object(written(values)) is not None
    return True


DOORS = (
    Door(
        "the child's pipe, by the agent",
        said_by_a_child,
        feed_agent,
        ("gpu_worker.child.messages.frame_decoder", "gpu_worker.io.checker.decoded_object"),
    ),
    Door("the child's pipe, by the child", told_to_a_child, feed_child, ("gpu_worker.child.agent_pipe.Pipe",)),
    Door("what a child returns", returned, feed_returned, ("gpu_worker.child.run_model.fault_of",)),
)
