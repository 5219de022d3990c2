"""How long something that keeps ending rests."""

from __future__ import annotations

from streams.hosting.resting import GrowingRest


def test_rests_grow_while_it_goes_on_ending_and_are_short_again_after_it_has_lasted() -> None:
    rest = GrowingRest(1, 5)
    assert [rest.take_s(0.1) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert [rest.take_s(5), rest.take_s(4.9), rest.take_s(60)] == [1, 2, 1]
