"""Bodies that are read in blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from starlette.requests import Request

from api.problems import Problem
from api.streamed_body import BODY_S, blocks_of

T = TypeVar("T")


class ShiftedLoop(asyncio.SelectorEventLoop):
    """Its clock passes when a test says so."""

    shift_s = 0.0

    def time(self) -> float:
        return super().time() + self.shift_s


def pass_s(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ShiftedLoop)
    loop.shift_s += seconds


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=ShiftedLoop) as runner:
        return runner.run(coroutine)


class Sender:
    """A client that sends these pieces; None: it goes away; a number: it waits so many seconds first."""

    def __init__(self, *pieces: bytes | float | None, claimed: str = "") -> None:
        self._pieces: Iterator[bytes | float | None] = iter(pieces)
        self._claimed = claimed
        self.sent = 0

    @property
    def request(self) -> Request:
        headers = [(b"content-length", self._claimed.encode())] if self._claimed else []
        return Request({"type": "http", "method": "PUT", "path": "/", "headers": headers}, self._receive)

    async def _receive(self) -> Any:
        for piece in self._pieces:
            if isinstance(piece, float):
                pass_s(piece)
                await asyncio.sleep(0.001)  # the loop looks at its clock
                continue
            if piece is None:
                return {"type": "http.disconnect"}
            self.sent += 1
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}


def taken(sender: Sender, size: int, block_bytes: int = 4) -> list[bytes]:
    async def take() -> list[bytes]:
        return [block async for block in blocks_of(sender.request, size, block_bytes)]

    return run(take())


def refused(sender: Sender, size: int) -> tuple[int, str]:
    with pytest.raises(Problem) as problem:
        taken(sender, size)
    return problem.value.status, problem.value.code


@pytest.mark.parametrize("pieces", [(b"0123456789",), (b"0", b"1234567", b"89"), (b"0123", b"", b"4567", b"89")])
def test_blocks_are_whole_however_the_body_comes(pieces: tuple[bytes, ...]) -> None:
    assert taken(Sender(*pieces, claimed="10"), 10) == [b"0123", b"4567", b"89"]
    assert taken(Sender(*pieces), 10, 10) == [b"0123456789"]


def test_a_block_is_given_on_before_the_next_is_read() -> None:
    sender = Sender(b"0123", b"4567", b"89")
    seen: list[int] = []

    async def take() -> None:
        blocks: AsyncIterator[bytes] = blocks_of(sender.request, 10, 4)
        async for _ in blocks:
            seen.append(sender.sent)

    asyncio.run(take())
    assert seen == [1, 2, 3]


def test_a_claim_of_another_length_is_refused_unread() -> None:
    sender = Sender(b"0123456789", claimed="11")
    assert refused(sender, 10) == (422, "other-length")
    assert sender.sent == 0


def test_a_body_that_ends_in_the_middle_is_told_so() -> None:
    assert refused(Sender(b"0123", None), 10) == (400, "body-cut-off")


def test_a_body_that_stops_is_ended() -> None:
    assert refused(Sender(b"0123", BODY_S + 1.0, b"456789"), 10) == (408, "body-too-slow")
    assert refused(Sender(b"0123", BODY_S * 0.6, b"45", BODY_S * 0.6, b"6789"), 10) == (408, "body-too-slow")
    assert taken(Sender(b"0123", BODY_S * 0.6, b"456789"), 10, 10) == [b"0123456789"]


def test_our_own_work_is_no_fault_of_the_client() -> None:
    async def take() -> int:
        blocks = 0
        async for _ in blocks_of(Sender(b"0123", 1.0, b"4567", 1.0, b"89").request, 10, 4):
            pass_s(10 * BODY_S)
            blocks += 1
        return blocks

    assert run(take()) == 3
