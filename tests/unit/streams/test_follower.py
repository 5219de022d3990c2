"""A follower goes on behind what is proven to be no record, and behind nothing else; what fails is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streams.hosting import follower
from streams.hosting.follower import Follower
from streams.hosting.gaps import Gaps
from tests.waiting import until_async, within


class Place:
    """The broker and Faust, as a follower of partition 0 knows them."""

    def __init__(self, wanted: int = 5, *, has_more: bool = False) -> None:
        self.kept = (0, wanted)
        self.has_more = has_more
        self.looks = 0
        self.gaps = Gaps()
        self.seeks: list[int] = []
        self.passed: list[int] = []
        self.failures = 0
        watermarks: Any = self
        self.follower = Follower(
            "jobs",
            0,
            wanted,
            watermarks=watermarks,
            seek=self._seek,
            on_gap=self.passed.append,
            gaps=self.gaps,
            has_more=lambda: self.has_more,
        )

    def of(self, _topic: str, _partition: int) -> tuple[int, int]:
        self.looks += 1
        return self.kept

    async def _seek(self, _topic: str, _partition: int, offset: int) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("a violet walrus")
        self.seeks.append(offset)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "STALL_S", 0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(within(60, test()))


async def others_have_looked() -> None:
    """A follower from which nothing is held back would have sought again and again meanwhile."""
    other = Place()
    other.kept = (0, 100)
    await until_async(lambda: len(other.seeks) > 5, "another follower seeks")
    other.follower.close()


def test_a_record_that_proves_the_gap_before_it_is_taken_at_once() -> None:
    async def test() -> None:
        place = Place()
        assert await place.follower.take(5, 5)
        assert await place.follower.take(9, 6)
        assert await place.follower.take(10, 8)
        assert not await place.follower.take(20, 12)
        assert (place.follower.wanted, place.seeks) == (11, [11])
        place.follower.close()

    run(test)


def test_a_gap_at_the_end_is_passed_over_once_the_record_before_it_is_in_its_takers_hands() -> None:
    async def test() -> None:
        place = Place()
        place.gaps.prove("jobs", 0, 6, 8)
        assert await place.follower.take(5, 5)
        assert (place.follower.wanted, place.passed) == (6, [])
        await until_async(lambda: place.passed == [8])
        assert place.follower.wanted == 8
        place.follower.close()

    run(test)


def test_one_that_comes_while_nothing_is_taken_is_found() -> None:
    async def test() -> None:
        place = Place()
        place.gaps.prove("jobs", 0, 5, 7)
        await until_async(lambda: place.follower.wanted == 7)
        place.gaps.prove("jobs", 0, 7, 9)
        await until_async(lambda: place.follower.wanted == 9)
        assert place.passed == [7, 9]
        place.follower.close()

    run(test)


def test_what_does_not_come_though_the_log_goes_on_is_sought_again_and_never_passed_over() -> None:
    async def test() -> None:
        place = Place()
        place.kept = (0, 100)
        await until_async(lambda: place.seeks.count(5) > 3)
        assert (place.follower.wanted, place.passed) == (5, [])
        place.follower.close()

    run(test)


def test_what_has_expired_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        place = Place()
        place.kept = (40, 100)
        await until_async(lambda: place.follower.wanted == 40)
        assert place.passed == [40]
        await until_async(lambda: place.seeks[-1] == 40)
        place.follower.close()

    run(test)
    assert "expired" in capsys.readouterr().out


def test_a_seek_that_fails_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        place = Place()
        place.kept, place.failures = (0, 100), 2
        await until_async(lambda: bool(place.seeks))
        place.follower.close()

    run(test)
    assert "walrus" not in capsys.readouterr().out


def test_while_it_is_held_it_wants_nothing_and_afterwards_what_it_missed() -> None:
    async def test() -> None:
        place = Place()
        await until_async(lambda: place.seeks == [5])
        place.follower.hold()
        assert not await place.follower.take(5, 5)
        place.kept = (0, 100)
        await others_have_looked()
        assert place.seeks == [5]
        await place.follower.go_on()
        assert place.seeks == [5, 5]
        assert await place.follower.take(5, 5)
        place.follower.close()

    run(test)


def test_nothing_is_missing_while_delivered_records_wait_to_be_judged() -> None:
    """A pool that is full takes none for long: what it wants has come, and is not sought back."""

    async def test() -> None:
        place = Place(has_more=True)
        place.kept = (0, 9)
        await until_async(lambda: place.seeks == [5], "the first seek")
        await others_have_looked()
        assert (place.seeks, place.looks) == ([5], 0)
        place.has_more = False
        await until_async(lambda: len(place.seeks) > 1, "it is sought")
        place.follower.close()

    run(test)
