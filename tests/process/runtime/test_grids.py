"""What a model's rule asks for is what the model gets: frames on its grid, sizes, and light."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.media import FORMS, MediaRule
from contract.prepared import MediaFacts
from runtime.media.confined_program import MediaDecoder
from runtime.media.preparation import prepare_file
from runtime.media.refused import MediaRefused
from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.drawn import bright
from tests.media.preparing.decoders import real
from tests.media.preparing.reading import frames_of_mp4, read_npy


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> MediaDecoder:
    return real(tmp_path_factory.mktemp("decoder") / "layers")


@pytest.fixture(scope="module")
def ffmpeg(decoder: MediaDecoder, tmp_path_factory: pytest.TempPathFactory) -> Ffmpeg:
    return Ffmpeg(Path(decoder.program.path), tmp_path_factory.mktemp("clips"))


def prepare(data: bytes, rule: MediaRule, decoder: MediaDecoder, folder: Path, kind: str = "video") -> MediaFacts:
    """The target is `folder`/prepared."""
    source, scratch = folder / "clip.mp4", folder / "scratch"
    source.write_bytes(data)
    scratch.mkdir()
    return prepare_file(source, kind, rule, folder / "prepared", scratch, decoder)


@pytest.mark.parametrize(
    ("rule", "frames"),
    [
        (MediaRule(frames_min=9, frames_step=8), 41),
        (MediaRule(frames_min=9, frames_step=8, frames_max=30), 25),
        (MediaRule(frames_min=9, frames_step=8, frames_max=33), 33),
        (MediaRule(fps=12, frames_min=1, frames_step=4), 21),
        (MediaRule(fps=48, frames_min=1), 96),
    ],
)
def test_the_model_gets_the_most_frames_that_its_grid_allows(
    rule: MediaRule, frames: int, ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path
) -> None:
    """Of two seconds at 24 frames a second. What is cut off is said."""
    facts = prepare(ffmpeg.video(), rule, decoder, tmp_path)
    assert (facts.frames, facts.source_frames, facts.source_ms) == (frames, 48, 2000)
    assert ("frames_dropped" in facts.changes) is (frames < 2 * rule.fps)
    assert read_npy(tmp_path / "prepared").shape[0] == frames


def test_a_file_of_a_grid_has_so_many_frames(ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    rule = MediaRule(frames_min=9, frames_step=8, form=FORMS[1], width=64, height=64)
    prepare(ffmpeg.video(), rule, decoder, tmp_path)
    assert frames_of_mp4(tmp_path / "prepared", ffmpeg) == (41, 64, 64, 24)


def test_too_few_frames_are_refused(ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    with pytest.raises(MediaRefused, match="gives 48 frames at 24 a second; the model needs at least 49") as refused:
        prepare(ffmpeg.video(), MediaRule(frames_min=49), decoder, tmp_path)
    assert refused.value.kind == "too_short"


def test_a_file_with_too_many_bytes_is_refused(ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    with pytest.raises(MediaRefused, match="at most 1000 are taken") as refused:
        prepare(ffmpeg.video(), MediaRule(bytes_max=1000), decoder, tmp_path)
    assert refused.value.kind == "too_large"


RED_AND_BLUE = "color=red:s=80x120:r=24:d=1[l];color=blue:s=80x120:r=24:d=1[r];[l][r]hstack"


@pytest.mark.parametrize(
    ("fit", "corner", "middle", "changes"),
    [
        ("cover", (254, 0, 0), (254, 0, 0), ("edges_cut",)),
        ("contain", (0, 0, 0), (254, 0, 0), ("bars_added",)),
        ("stretch", (254, 0, 0), (254, 0, 0), ("aspect_lost",)),
    ],
)
def test_a_picture_fits_as_the_rule_says(
    fit: str,
    corner: tuple[int, int, int],
    middle: tuple[int, int, int],
    changes: tuple[str, ...],
    ffmpeg: Ffmpeg,
    decoder: MediaDecoder,
    tmp_path: Path,
) -> None:
    """160 x 120, red on the left: as 96 x 96."""
    clip = ffmpeg.clip("-f", "lavfi", "-i", RED_AND_BLUE, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    facts = prepare(clip, MediaRule(width=96, height=96, fit=fit), decoder, tmp_path)
    array = read_npy(tmp_path / "prepared")
    assert facts.changes == changes
    assert near(array.pixel(0, 0, 0), corner)
    assert near(array.pixel(0, 48, 20), middle)
    assert near(array.pixel(23, 48, 76), (0, 0, 254))


def near(found: tuple[int, int, int], wanted: tuple[int, int, int]) -> bool:
    return all(abs(one - other) <= 6 for one, other in zip(found, wanted, strict=True))


def test_a_turned_picture_stands_upright(ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    """Red was on the left: turned clockwise by a quarter, red is on top."""
    plain = tmp_path / "plain.mp4"
    plain.write_bytes(ffmpeg.clip("-f", "lavfi", "-i", RED_AND_BLUE, "-c:v", "libx264", "-pix_fmt", "yuv420p"))
    turned = ffmpeg.clip("-display_rotation", "-90", "-i", str(plain), "-c", "copy")
    facts = prepare(turned, MediaRule(), decoder, tmp_path)
    array = read_npy(tmp_path / "prepared")
    assert (facts.rotated, facts.width, facts.height) == (90, 120, 160)
    assert near(array.pixel(0, 10, 60), (254, 0, 0))
    assert near(array.pixel(0, 150, 60), (0, 0, 254))


def test_hdr_becomes_light_that_a_screen_shows(ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    """PQ's code for the white of a page (203 cd/m²) is 58 % of the range: as SDR that is near white, and not grey."""
    grey = "color=0x949494:s=160x120:r=24:d=1"
    clip = ffmpeg.clip("-f", "lavfi", "-i", grey, "-c:v", "libx264", *bright("smpte2084"))
    facts = prepare(clip, MediaRule(), decoder, tmp_path)
    red, green, blue = read_npy(tmp_path / "prepared").pixel(0, 60, 80)
    assert facts.changes == ("depth_reduced", "hdr_to_sdr")
    assert max(red, green, blue) - min(red, green, blue) <= 4
    assert min(red, green, blue) > 190
