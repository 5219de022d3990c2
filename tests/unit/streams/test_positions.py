"""Whatever Faust delivers, every record is taken once, in order."""

from __future__ import annotations

from streams.positions import Positions, Verdict


def taken(positions: Positions, *offsets: int) -> list[Verdict]:
    return [positions.judge(offset) for offset in offsets]


def test_in_order_everything_is_taken_and_what_came_before_dropped() -> None:
    assert taken(Positions(5), 3, 4, 5, 6, 5) == [
        Verdict.DROP,
        Verdict.DROP,
        Verdict.TAKE,
        Verdict.TAKE,
        Verdict.DROP,
    ]


def test_a_jump_ahead_is_sought_back_once_and_what_was_under_way_dropped() -> None:
    positions = Positions(5)
    assert taken(positions, 9, 10, 11) == [Verdict.SEEK, Verdict.DROP, Verdict.DROP]
    assert taken(positions, 4, 5, 6, 7, 8, 9) == [Verdict.DROP] + [Verdict.TAKE] * 5


def test_the_same_one_again_after_the_seek_asks_the_broker_and_a_gap_is_passed_over() -> None:
    positions = Positions(5)
    assert taken(positions, 9, 9) == [Verdict.SEEK, Verdict.ASK]
    positions.skip_to(9)
    assert taken(positions, 9, 10) == [Verdict.TAKE, Verdict.TAKE]


def test_a_smaller_one_of_those_left_out_is_a_place_of_its_own() -> None:
    positions = Positions(5)
    assert taken(positions, 9, 7, 7) == [Verdict.SEEK, Verdict.SEEK, Verdict.ASK]


def test_a_skip_never_goes_back() -> None:
    positions = Positions(5)
    positions.skip_to(3)
    assert positions.wanted == 5
