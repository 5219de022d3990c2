"""The size that a rule gives a picture, and what is said of how it got there."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.media import FITS, MediaRule
from runtime.media.picture_size import SizePlan, size_plan
from runtime.media.refused import MediaRefused

SQUARE = Fraction(1)


def plan(width: int, height: int, rule: MediaRule, aspect: Fraction = SQUARE) -> SizePlan:
    return size_plan(width, height, aspect, rule, even=True)


def test_a_picture_within_the_rule_keeps_its_size() -> None:
    assert plan(640, 480, MediaRule()) == SizePlan(640, 480, 640, 480, 640, 480, ())


def test_it_is_scaled_down_to_the_longest_side_and_never_up() -> None:
    assert plan(3840, 2160, MediaRule(longest_side=1920)) == SizePlan(3840, 2160, 1920, 1080, 1920, 1080, ())
    assert plan(64, 48, MediaRule(longest_side=1920)).width == 64


def test_sides_are_made_a_multiple_downwards_and_the_aspect_is_kept() -> None:
    found = plan(161, 121, MediaRule(side_multiple=16))
    assert (found.width, found.height, found.changes) == (160, 112, ("edges_cut",))
    assert found.cut_height == 113, "of 121 rows, the middle ones: as wide as 160 x 112"


@pytest.mark.parametrize(
    ("fit", "found"),
    [
        ("cover", SizePlan(480, 480, 100, 100, 100, 100, ("edges_cut",))),
        ("contain", SizePlan(640, 480, 100, 74, 100, 100, ("bars_added",))),
        ("stretch", SizePlan(640, 480, 100, 100, 100, 100, ("aspect_lost",))),
    ],
)
def test_a_picture_of_another_aspect_fits_as_the_rule_says(fit: str, found: SizePlan) -> None:
    assert plan(640, 480, MediaRule(width=100, height=100, fit=fit)) == found


def test_a_picture_that_is_taller_is_cut_above_and_below() -> None:
    assert plan(480, 640, MediaRule(width=100, height=100)).changes == ("edges_cut",)
    assert plan(480, 640, MediaRule(width=100, height=100)).cut_height == 480
    assert plan(480, 640, MediaRule(width=100, height=100, fit="contain")).scaled_width == 74


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(2), (320, 120)), (Fraction(1, 2), (160, 240))])
def test_pixels_are_made_square(aspect: Fraction, size: tuple[int, int]) -> None:
    found = plan(160, 120, MediaRule(), aspect)
    assert (found.width, found.height) == size
    assert found.changes == ("pixels_made_square",)


def test_wide_pixels_make_no_more_pixels_than_the_rule_takes() -> None:
    found = plan(1000, 1000, MediaRule(longest_side=3840, pixels_max=1_000_000), Fraction(3))
    assert 980_000 < found.width * found.height <= 1_000_000


def test_a_picture_of_which_nothing_would_be_left_is_refused() -> None:
    with pytest.raises(MediaRefused) as refused:
        plan(3840, 16, MediaRule(longest_side=128, side_multiple=16))
    assert refused.value.kind == "too_small"


def test_the_program_is_told_to_cut_then_to_scale_then_to_add_bars() -> None:
    assert plan(640, 480, MediaRule(width=100, height=100)).filters((640, 480), "") == [
        "crop=480:480",
        "scale=100:100:flags=bicubic",
        "setsar=1",
    ]
    assert "pad=100:100:(ow-iw)/2:(oh-ih)/2:color=black" in plan(
        640, 480, MediaRule(width=100, height=100, fit="contain")
    ).filters((640, 480), "")


SIDES = st.integers(16, 3840)


@given(
    SIDES,
    SIDES,
    st.fractions(Fraction(1, 20), 20, max_denominator=20),
    st.sampled_from(FITS),
    st.sampled_from([0, 16, 720]),
    st.sampled_from([2, 16, 64]),
)
def test_whatever_comes_in_the_size_is_what_the_rule_says(
    width: int, height: int, aspect: Fraction, fit: str, side: int, multiple: int
) -> None:
    rule = MediaRule(width=side, height=side, fit=fit, side_multiple=multiple, longest_side=1024)
    try:
        found = plan(width, height, rule, aspect)
    except MediaRefused:
        assert not side
        return
    if side:
        assert (found.width, found.height) == (side, side)
    else:
        assert max(found.width, found.height) <= 1024
        assert found.width % multiple == found.height % multiple == 0
    assert 1 <= found.cut_width <= width
    assert 1 <= found.cut_height <= height
    assert 1 <= found.scaled_width <= found.width
    assert 1 <= found.scaled_height <= found.height
