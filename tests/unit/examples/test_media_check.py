"""The judge of modified, animated and upscaled clips tells good clips from clips that break each of its rules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

MODELS = Path(__file__).parents[3] / "examples" / "models"
FRAMES, SIDE = 12, 64
FINE = 4  # points along a pixel's side that are looked at
RED, BLUE, GREY = (220, 40, 40), (40, 80, 250), (100, 100, 100)

Clip = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def judge() -> Iterator[Any]:
    """`check_media.py`, which lies beside the recipe and is no part of a package."""
    folders = [str(MODELS / "media_training"), str(MODELS / "shapes_training")]
    sys.path[:0] = folders
    try:
        yield importlib.import_module("check_media")
    finally:
        for folder in folders:
            sys.path.remove(folder)
        for name in ("check_media", "check"):
            sys.modules.pop(name, None)


def inside(outline: str, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether points, in radii from the middle, belong to the outline. y points down."""
    length, angle = np.hypot(x, y), np.arctan2(x, -y)
    if outline == "ball":
        return np.asarray(length < 1)
    if outline == "ring":
        return np.asarray((length < 1) & (length > 0.5))
    if outline == "square":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) < 0.85)
    if outline == "diamond":
        return np.asarray(np.abs(x) + np.abs(y) < 1.1)
    corners = {"triangle": 3, "star": 5}[outline]
    reach = {"triangle": np.cos(np.pi / 3), "star": 0.45}[outline]  # of the edge's middle, in radii
    folded = np.abs((angle + np.pi / corners) % (2 * np.pi / corners) - np.pi / corners) * corners / np.pi
    if outline == "triangle":
        return np.asarray(length * np.cos(folded * np.pi / 3 - np.pi / 3) < reach)
    return np.asarray(length < 1.2 - (1.2 - reach) * folded)


def clip(
    outline: str = "ball",
    colour: tuple[int, int, int] = RED,
    *,
    ground: tuple[int, int, int] = GREY,
    first: tuple[float, float] = (20.0, 32.0),
    step: tuple[float, float] = (2.0, 0.0),
    radius: float = 8.0,
    frames: int = FRAMES,
) -> Clip:
    points = (np.arange(SIDE * FINE) + 0.5) / FINE - 0.5
    pictures = np.empty((frames, SIDE, SIDE, 3))
    for number in range(frames):
        x, y = first[0] + number * step[0], first[1] + number * step[1]
        covered = inside(outline, (points[None, :] - x) / radius, (points[:, None] - y) / radius)
        part = covered.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))[..., None]
        pictures[number] = np.array(ground) + part * (np.array(colour) - np.array(ground))
    return pictures.round().astype(np.uint8)


@pytest.mark.parametrize("outline", ["ball", "ring", "square", "diamond", "triangle", "star"])
def test_each_outline_is_named(judge: Any, outline: str) -> None:
    assert judge.thing(clip(outline)).outline == outline


def test_a_filled_ring_is_no_ring(judge: Any) -> None:
    asked = {"colour": "", "outline": "ring", "keeps_track": True}
    assert judge.modify_faults(clip(), clip("ring"), **asked) == ()
    assert judge.modify_faults(clip(), clip("ball"), **asked) == ("outline",)


def test_a_ring_that_is_half_filled_is_no_ring(judge: Any) -> None:
    half = (clip("ring") * 0.3 + clip("ball") * 0.7).astype(np.uint8)
    assert judge.thing(half).outline != "ring"


def test_a_square_with_faint_corners_is_no_square(judge: Any) -> None:
    faint = (clip("square") * 0.3 + clip("ball") * 0.7).astype(np.uint8)
    assert judge.thing(faint).outline == "ball"


def test_a_clip_with_what_was_asked_for_breaks_no_rule(judge: Any) -> None:
    assert judge.modify_faults(clip(), clip("star", BLUE), "blue", "star", keeps_track=True) == ()


def test_a_colour_that_was_not_asked_for_is_a_fault(judge: Any) -> None:
    assert judge.modify_faults(clip(), clip(), "blue", "", keeps_track=True) == ("colour",)


def test_a_track_may_be_three_pixels_off_in_no_frame(judge: Any) -> None:
    near, far = clip(first=(20.0, 34.5)), clip(first=(20.0, 35.5))
    once = clip()
    once[7] = clip(first=(24.0, 32.0))[7]
    assert judge.modify_faults(clip(), near, "", "", keeps_track=True) == ()
    assert judge.modify_faults(clip(), far, "", "", keeps_track=True) == ("track",)
    assert judge.modify_faults(clip(), once, "", "", keeps_track=True) == ("track",)
    assert judge.modify_faults(clip(), far, "", "", keeps_track=False) == ()


def test_a_thing_that_is_gone_from_one_frame_has_no_track(judge: Any) -> None:
    gone = clip()
    gone[3] = GREY
    assert judge.modify_faults(clip(), gone, "", "", keeps_track=True) == ("track",)
    assert judge.astray(gone, gone) == float("inf")


def test_a_lost_frame_is_a_fault(judge: Any) -> None:
    assert "frames" in judge.modify_faults(clip(), clip(frames=FRAMES - 1), "", "", keeps_track=False)
    assert judge.distance(clip(), clip(frames=FRAMES - 1)) == float("inf")


def test_distance_is_that_of_colours(judge: Any) -> None:
    plain = np.zeros((2, 8, 8, 3), np.uint8)
    assert judge.distance(plain, plain) == 0
    assert judge.distance(plain, plain + np.array([3, 0, 4], np.uint8)) == 5


@pytest.mark.parametrize(("values", "rising"), [([1, 2, 3], True), ([1, 2, 2], False), ([1, 3, 2], False)])
def test_a_rise_is_strict(judge: Any, values: list[float], rising: bool) -> None:
    assert judge.rises(values) is rising


def test_an_animated_picture_begins_with_the_picture(judge: Any) -> None:
    whole = clip(step=(2.5, 0.0))
    assert judge.animate_faults(whole[0], whole, "right") == ()
    assert judge.animate_faults(clip(first=(28.0, 32.0))[0], whole, "right") == ("first",)


def test_an_animated_picture_moves_as_asked(judge: Any) -> None:
    still, back = clip(step=(0.0, 0.0)), clip(step=(2.5, 0.0))[::-1]
    assert judge.animate_faults(still[0], still, "right") == ("motion",)
    assert judge.animate_faults(back[0], back, "right") == ("motion",)
    assert judge.animate_faults(back[0], back, "left") == ()


def test_psnr_of_known_noise(judge: Any) -> None:
    plain = np.full((16, 16, 3), 100, np.uint8)
    assert judge.psnr(plain, plain) == 99
    assert judge.psnr(plain, plain + np.uint8(16)) == pytest.approx(24.05, abs=0.01)
    assert judge.psnr(plain, plain[:8]) == 0


def test_bicubic_keeps_planes_and_goes_through_its_pixels_means(judge: Any) -> None:
    slope = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], 16, 0).repeat(3, 2)
    large = judge.bicubic(slope, 2)
    assert large.shape == (32, 32, 3)
    assert np.abs(np.diff(large[8, 4:-4, 0].astype(int)) - 5).max() <= 1


def test_bicubic_itself_gains_nothing(judge: Any) -> None:
    truth = clip("star", frames=2)
    small = truth.reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    plain = np.stack([judge.bicubic(one, 2) for one in small])
    assert judge.gain(truth, small, plain) == 0
    assert judge.gain(truth, small, truth) > 20
    assert judge.gain(truth, small, small.repeat(2, 1).repeat(2, 2)) < 0
    assert judge.gain(truth, small, small) == float("-inf")


def test_the_judge_imports_neither_drawing_nor_model() -> None:
    allowed = {"__future__", "check", "colorsys", "dataclasses", "itertools", "numpy", "numpy.typing"}
    for path in (MODELS / "media_training" / "check_media.py", MODELS / "shapes_training" / "check.py"):
        words = [line.split()[1] for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
        assert set(words) <= allowed, path.name
