"""Mutants: the judge of the demo's videos lets through what breaks one of its rules."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_JUDGE = "examples/models/media_training/check_media.py"
_TESTS = "tests/unit/examples/test_media_check.py"

MUTANTS = (
    Mutant(
        "a filled disc passes for a ring",
        _JUDGE,
        "    if hollowness(covered, centres, areas) < HOLLOW_MAX:\n",
        "    if hollowness(covered, centres, areas) < 2:\n",
        f"{_TESTS}::test_each_outline_is_named[ball]",
    ),
    Mutant(
        "a ring that is nearly filled passes for one",
        _JUDGE,
        "HOLLOW_MAX = 0.5 ",
        "HOLLOW_MAX = 0.9 ",
        f"{_TESTS}::test_a_ring_that_is_half_filled_is_no_ring",
    ),
    Mutant(
        "a diamond passes for a square",
        _JUDGE,
        'return "diamond" if weights[4].real > 0 else "square"',
        'return "square"',
        f"{_TESTS}::test_each_outline_is_named[diamond]",
    ),
    Mutant(
        "the faintest corners make a square",
        _JUDGE,
        "4: 0.21",
        "4: 0.02",
        f"{_TESTS}::test_a_square_with_faint_corners_is_no_square",
    ),
    Mutant(
        "a track may be off in one frame",
        _JUDGE,
        "return float(np.linalg.norm(ours.centres - theirs.centres, axis=1).max())",
        "return float(np.linalg.norm(ours.centres - theirs.centres, axis=1).mean())",
        f"{_TESTS}::test_a_track_may_be_three_pixels_off_in_no_frame",
    ),
    Mutant(
        "a thing that is gone from a frame has a track",
        _JUDGE,
        "    if not (ours.present and theirs.present):\n",
        "    if False:\n",
        f"{_TESTS}::test_a_thing_that_is_gone_from_one_frame_has_no_track",
    ),
    Mutant(
        "a clip may lose a frame",
        _JUDGE,
        '        faults.append("frames")\n',
        "        pass\n",
        f"{_TESTS}::test_a_lost_frame_is_a_fault",
    ),
    Mutant(
        "distances that stay the same rise",
        _JUDGE,
        "later > earlier for earlier",
        "later >= earlier for earlier",
        f"{_TESTS}::test_a_rise_is_strict",
    ),
    Mutant(
        "the colour that was asked for is not looked at",
        _JUDGE,
        '        faults.append("colour")\n',
        "        pass\n",
        f"{_TESTS}::test_a_colour_that_was_not_asked_for_is_a_fault",
    ),
    Mutant(
        "an animated picture may begin with another",
        _JUDGE,
        '        faults.append("first")\n',
        "        pass\n",
        f"{_TESTS}::test_an_animated_picture_begins_with_the_picture",
    ),
    Mutant(
        "an animated picture may move as it likes",
        _JUDGE,
        '        faults.append("motion")\n',
        "        pass\n",
        f"{_TESTS}::test_an_animated_picture_moves_as_asked",
    ),
    Mutant(
        "an enlarged clip is not compared with bicubic interpolation",
        _JUDGE,
        "    return psnr(truth, made) - psnr(truth, np.stack([bicubic(one, scale) for one in small]))\n",
        "    return psnr(truth, made) - 20.0\n",
        f"{_TESTS}::test_bicubic_itself_gains_nothing",
    ),
)
