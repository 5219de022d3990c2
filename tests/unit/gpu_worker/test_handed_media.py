"""What a child says it handed over, and what of that a node goes along with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gpu_worker.child import made_media
from gpu_worker.io.encoding import EncoderTuning, address_space, arguments
from gpu_worker.io.outputs import OUTPUTS_MAX
from gpu_worker.io.visible_mark import label
from gpu_worker.rules import handed_media
from gpu_worker.rules.budgets import budgets
from gpu_worker.rules.handed_media import FRAMES_MAX, MEDIA_MAX, HandedMedia, fault_of
from runtime.settings import Settings
from runtime.worker.rules.holding import Holding

GIB = 2**30
ONE = HandedMedia("video", "video.mp4", 64, 48, 12, 24, 1)


ALLOWED = {"result_bytes_max": 32 * GIB, "frames_bytes_max": 8 * GIB, "input_bytes_max": 16 * GIB}


def changed(**fields: Any) -> HandedMedia:
    return msgspec.structs.replace(ONE, **fields)


def test_both_ends_agree() -> None:
    assert handed_media.SUFFIXES["video"] == made_media.VIDEO_SUFFIXES
    assert handed_media.SUFFIXES["image"] == made_media.IMAGE_SUFFIXES
    for name in ("MEDIA_MAX", "SIDE_MIN", "SIDE_MAX", "PIXELS_MAX", "FRAMES_MAX", "FPS_MAX", "DERIVED", "CHANNELS"):
        assert getattr(made_media, name) == getattr(handed_media, name)
    assert made_media.RATE_DENOMINATOR_MAX == handed_media.RATE_DENOMINATOR_MAX
    for number in (0, MEDIA_MAX):
        assert made_media.raw_name(number) == handed_media.raw_name(number)
    assert tuple(made_media.names_of("video", "a.b.mp4")) == changed(name="a.b.mp4").names


def test_a_video_has_a_poster_and_a_thumbnail_and_an_image_a_thumbnail() -> None:
    assert ONE.names == ("video.mp4", "video.poster.jpg", "video.thumb.jpg")
    assert HandedMedia("image", "a.png", 4, 4, 1, 1, 1).names == ("a.png", "a.thumb.jpg")


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "audio"},
        {"name": "video.mkv"},
        {"name": "../video.mp4"},
        {"name": ".mp4"},
        {"name": "v" * 120 + ".mp4"},
        {"name": "-i.mp4"},
        {"width": 14},
        {"height": 8_194},
        {"width": 8_192, "height": 8_192},
        {"width": 65},
        {"height": 47},
        {"frames": 0},
        {"frames": FRAMES_MAX + 1},
        {"rate": 0},
        {"rate": 241},
        {"per": 0},
        {"per": 1_002, "rate": 24_000},
        {"kind": "image", "name": "a.png", "frames": 2},
        {"frames": -1},
    ],
    ids=str,
)
def test_what_a_node_does_not_encode(fields: dict[str, Any]) -> None:
    fault = fault_of([changed(**fields)], [], GIB)
    assert fault.startswith("medium 0: expected ")
    assert ", found " in fault


def test_names_and_bytes_of_an_attempt_are_looked_at_together() -> None:
    other = changed(name="other.mp4")
    assert fault_of([ONE, other], ["a"], GIB) == ""
    assert "found a name twice" in fault_of([ONE, ONE], [], GIB)
    assert "found a name twice" in fault_of([ONE], ["video.poster.jpg"], GIB)
    assert "found a name twice" in fault_of([ONE, HandedMedia("image", "video.png", 4, 4, 1, 1, 1)], [], GIB)
    assert fault_of([ONE, other], [], 2 * ONE.raw_bytes) == ""
    assert "bytes" in fault_of([ONE, other], [], 2 * ONE.raw_bytes - 1)
    many = [changed(name=f"{n}.mp4") for n in range(MEDIA_MAX + 1)]
    assert fault_of(many[:-1], [], GIB) == ""
    assert "found 33" in fault_of(many, [], GIB)
    assert MEDIA_MAX * len(ONE.names) <= OUTPUTS_MAX


def test_an_encoder_reads_one_descriptor_and_writes_the_names_alone() -> None:
    found = arguments(ONE, "words", 3, None)
    assert found[found.index("-i") + 1] == "pipe:0"
    assert found.count("-i") == found.count("-protocol_whitelist") == 1
    assert [part for part in found if part.endswith((".mp4", ".jpg"))] == list(ONE.names)
    assert address_space(changed(width=3_840, height=2_160)) > address_space(ONE) > 2 * GIB


@pytest.mark.parametrize(
    ("set_", "cores", "expected"), [(0, 2, (1, 1)), (0, 4, (1, 2)), (0, 64, (8, 4)), (2, 8, (2, 2)), (9, 2, (9, 1))]
)
def test_how_many_encoders_work_at_a_time(set_: int, cores: int, expected: tuple[int, int]) -> None:
    tuning = EncoderTuning.of(Settings(encoders=set_), cores)
    assert (tuning.processes, tuning.threads) == expected


def test_a_disk_has_room_for_what_waits_and_for_what_every_slot_leaves_on_top() -> None:
    for free, slots in ((64 * GIB, 1), (64 * GIB, 8), (10 * GIB, 3)):
        found = budgets(free, slots, **ALLOWED)
        assert found.result_bytes <= 32 * GIB
        assert found.frames_bytes <= 8 * GIB
        assert found.result_bytes + slots * found.frames_bytes + found.input_bytes <= free
    assert tuple(budgets(640 * GIB, 1, **ALLOWED)) == tuple(ALLOWED.values())


def test_pictures_that_are_encoded_make_room_before_the_result_is_stored() -> None:
    holding = Holding(result_bytes_max=100)
    holding.keep("1.1.0", 100, 5)
    assert holding.reason == "bytes"
    holding.keep_less("1.1.0", 10)
    assert holding.may_start
    holding.let_go("1.1.0")
    holding.keep_less("1.1.0", 100)
    assert holding.may_start, "nobody waits for that any more"


def test_a_label_fits_its_picture_and_is_left_out_of_a_tiny_one() -> None:
    for size in ((64, 48), (1_920, 1_080), (1_080, 1_920), (512, 512)):
        found = label(*size)
        assert found is not None
        assert len(found.data) == found.width * found.height * 4
        assert found.width + found.margin < size[0] / 2
        assert found.height + found.margin < size[1] / 2
    assert label(8, 8) is None
