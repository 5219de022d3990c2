"""Whatever Faust delivers, every record is taken once, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.hosting.positions import OffsetVerdict, Positions


def taken(positions: Positions, *offsets: int) -> list[OffsetVerdict]:
    return [positions.take(offset) for offset in offsets]


def test_in_order_everything_is_taken_and_what_came_before_dropped() -> None:
    assert taken(Positions(5), 3, 4, 5, 6, 5) == [
        OffsetVerdict.DROP,
        OffsetVerdict.DROP,
        OffsetVerdict.TAKE,
        OffsetVerdict.TAKE,
        OffsetVerdict.DROP,
    ]


def test_a_jump_ahead_is_sought_back_once_and_what_was_under_way_dropped() -> None:
    positions = Positions(5)
    assert taken(positions, 9, 10, 11) == [OffsetVerdict.SEEK, OffsetVerdict.DROP, OffsetVerdict.DROP]
    assert taken(positions, 4, 5, 6, 7, 8, 9) == [OffsetVerdict.DROP] + [OffsetVerdict.TAKE] * 5


def test_the_same_one_again_after_the_seek_asks_the_broker_and_a_gap_is_passed_over() -> None:
    positions = Positions(5)
    assert taken(positions, 9, 9) == [OffsetVerdict.SEEK, OffsetVerdict.ASK]
    positions.skip_to(9)
    assert taken(positions, 9, 10) == [OffsetVerdict.TAKE, OffsetVerdict.TAKE]


def test_a_smaller_one_of_those_left_out_is_a_place_of_its_own() -> None:
    positions = Positions(5)
    assert taken(positions, 9, 7, 7) == [OffsetVerdict.SEEK, OffsetVerdict.SEEK, OffsetVerdict.ASK]


def test_a_skip_never_goes_back() -> None:
    positions = Positions(5)
    positions.skip_to(3)
    assert positions.wanted == 5


class Faust:
    """Delivers from a place that may jump at any time; what is under way when it is sought still arrives first."""

    def __init__(self, log: list[int]) -> None:
        self.log = log
        self.place = 0
        self.under_way: list[int] = []

    def seek(self, wanted: int, still_coming: int) -> None:
        self.under_way = self.log[self.place : self.place + still_coming]
        self.place = next((i for i, offset in enumerate(self.log) if offset >= wanted), len(self.log))

    def next(self) -> int | None:
        if self.under_way:
            return self.under_way.pop(0)
        if self.place >= len(self.log):
            return None
        self.place += 1
        return self.log[self.place - 1]


@given(
    offsets=st.sets(st.integers(0, 40), min_size=1),
    jumps=st.lists(st.tuples(st.integers(0, 10), st.integers(0, 41), st.integers(0, 5)), max_size=8),
)
def test_every_record_there_is_is_taken_once_in_order(offsets: set[int], jumps: list[tuple[int, int, int]]) -> None:
    log = sorted(offsets)
    faust, positions, took = Faust(log), Positions(0), []

    def ask() -> None:
        first = next((offset for offset in log if offset >= positions.wanted), log[-1] + 1)
        positions.skip_to(first)
        positions.restart()
        faust.seek(positions.wanted, 0)

    def deliver() -> bool:
        offset = faust.next()
        if offset is None:
            return False
        verdict = positions.take(offset)
        if verdict is OffsetVerdict.TAKE:
            took.append(offset)
        elif verdict is OffsetVerdict.SEEK:
            faust.seek(positions.wanted, 2)
        elif verdict is OffsetVerdict.ASK:
            ask()
        return True

    for steps, place, still_coming in jumps:
        for _ in range(steps):
            deliver()
        faust.seek(place, still_coming)
    while positions.wanted <= log[-1]:
        while deliver():
            pass
        ask()  # what the follower does when nothing is taken for a while
    assert took == log


def test_a_jump_whose_gap_is_proven_is_taken_from_wherever_the_proof_begins() -> None:
    positions = Positions(5)
    assert [positions.take(offset, follows) for offset, follows in ((9, 3), (10, 10), (4, 0), (20, 12))] == [
        OffsetVerdict.TAKE,
        OffsetVerdict.TAKE,
        OffsetVerdict.DROP,
        OffsetVerdict.SEEK,
    ]
    assert positions.wanted == 11
