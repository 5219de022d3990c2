"""What is taken from the lines of the decoder's program, and at which frame a video must stop."""

from __future__ import annotations

from fractions import Fraction

import pytest

from contract.media import MediaRule
from runtime.media.frame_notes import FrameLook, FrameNotes
from runtime.media.frame_times import FrameTimes
from runtime.media.refused import MediaRefused

LINE = (
    "[{name} @ 0x7f2cf4001b80] [info] n:   1 pts:     42 pts_time:{time} duration:     41 duration_time:0.041   "
    "fmt:{pixels} cl:left sar:4/3 s:160x120 i:P iskey:0 type:P "
)
COLOURS = "[{name} @ 0x7f2cf4001b80] [info] color_range:tv color_space:bt2020nc color_primaries:bt2020 color_trc:{trc}"
TURN = "[{name} @ 0x7f2cf4001b80] [info]   side data - 3x3 displaymatrix: rotation of {angle} degrees"


def line(notes: FrameNotes, text: str, **values: str) -> bytes:
    return text.format(name=notes.name, **values).encode()


def test_a_frame_says_its_size_its_pixels_and_its_time() -> None:
    notes = FrameNotes()
    assert notes.take(line(notes, LINE, time="0.042", pixels="yuv420p"))
    assert notes.frame == FrameLook(160, 120, Fraction(4, 3), "yuv420p", 0.042, 0.041)
    assert notes.count == 1


def test_a_time_that_the_file_does_not_say_is_none() -> None:
    notes = FrameNotes()
    notes.take(line(notes, LINE, time="NOPTS", pixels="gray"))
    assert notes.frame is not None
    assert notes.frame.time_s is None


def test_no_line_passes_for_the_filters_that_has_another_name() -> None:
    """Such as a title in the file that quotes one."""
    notes, other = FrameNotes(), FrameNotes()
    for text in (LINE, COLOURS, TURN):
        spoken = line(other, text, time="1", pixels="yuv420p", trc="smpte2084", angle="90.00")
        for forged in (
            spoken,
            b"title : " + line(notes, text, time="1", pixels="gray", trc="smpte2084", angle="90.00"),
        ):
            assert not notes.take(forged)
    assert (notes.count, notes.is_bright, notes.turned) == (0, False, 0)


@pytest.mark.parametrize(("transfer", "bright"), [("smpte2084", True), ("arib-std-b67", True), ("bt709", False)])
def test_hdr_is_known_by_its_transfer(transfer: str, bright: bool) -> None:
    notes = FrameNotes()
    notes.take(line(notes, COLOURS, trc=transfer))
    assert notes.is_bright is bright
    assert (notes.space, notes.primaries) == ("bt2020nc", "bt2020")


@pytest.mark.parametrize(("angle", "turned"), [("-90.00", 90), ("90.00", 270), ("-180.00", 180), ("0.00", 0)])
def test_the_turn_is_told_clockwise(angle: str, turned: int) -> None:
    notes = FrameNotes()
    notes.take(line(notes, TURN, angle=angle))
    assert notes.turned == turned


@pytest.mark.parametrize("pixels", ["yuv420p10le", "rgb48be", "gray16le", "yuv444p12le", "gbrp10le", "rgba64be"])
def test_more_than_eight_bits_are_seen(pixels: str) -> None:
    assert look(pixels=pixels).has_depth


@pytest.mark.parametrize("pixels", ["yuv420p", "rgb24", "yuvj444p", "gray", "rgba", "pal8", "nv12"])
def test_eight_bits_are_enough(pixels: str) -> None:
    assert not look(pixels=pixels).has_depth


def test_forms_of_pixels_with_transparency_are_known() -> None:
    assert [look(pixels=p).may_have_alpha for p in ("rgba", "yuva420p", "pal8", "ya8", "gbrap")] == [True] * 5
    assert [look(pixels=p).may_have_alpha for p in ("rgb24", "yuv420p", "gray", "yuyv422")] == [False] * 4


def look(width: int = 160, height: int = 120, time_s: float = 0.0, pixels: str = "yuv420p") -> FrameLook:
    return FrameLook(width, height, Fraction(1), pixels, time_s, 1 / 24)


def times(*at: float, rule: MediaRule | None = None) -> FrameTimes:
    found = FrameTimes(rule or MediaRule(), (160, 120))
    for time_s in at:
        found.add(look(time_s=time_s))
    return found


def kind_of(call: object, *values: object) -> str:
    with pytest.raises(MediaRefused) as refused:
        call(*values)  # type: ignore[operator]
    return refused.value.kind


def test_a_frame_of_another_size_stops_the_video() -> None:
    assert kind_of(times(0.0).add, look(width=162, time_s=0.1)) == "size_changes"


def test_a_video_stops_at_the_first_frame_beyond_its_time() -> None:
    found = times(5.0, 35.0)
    assert kind_of(found.add, look(time_s=35.4)) == "too_long"


def test_a_video_stops_at_the_first_frame_too_many() -> None:
    found = FrameTimes(MediaRule(seconds_max=1, fps_max=10), (160, 120))
    for _ in range(10):
        found.add(look(time_s=0.5))
    assert kind_of(found.add, look(time_s=0.5)) == "too_long"


def test_at_the_end_a_video_has_frames_a_length_and_a_rate() -> None:
    assert kind_of(times().check) == "no_frames"
    assert kind_of(times(0.0).check) == "too_short"
    assert kind_of(times(0.0, 0.001, 0.002, rule=MediaRule(fps_max=24)).check) == "too_fast"
    times(0.0, 1 / 24).check()


def test_an_even_rate_is_even_though_its_clock_has_milliseconds() -> None:
    assert not times(*(round(frame / 24, 3) for frame in range(48))).is_uneven
    assert not times(*(round(frame / 60, 3) for frame in range(60))).is_uneven
    assert times(0.0, 1 / 24, 2 / 24, 5 / 24).is_uneven
