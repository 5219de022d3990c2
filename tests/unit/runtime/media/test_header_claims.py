"""What well-made headers claim, container by container."""

from __future__ import annotations

import struct

import pytest

from contract.media import MediaRule
from runtime.media.claims import Container, MediaClaims, MediaFormat, TrackClaims
from runtime.media.header_check import claims_of
from runtime.media.limits import check_claims
from runtime.media.refused import MediaRefused
from tests.media.corpus.boxes import FTYP, box, find, full_box, movie, poke, put
from tests.media.corpus.lying_headers import element, gif, jpeg, matroska, png, webp


def read(data: bytes) -> MediaClaims:
    return claims_of(lambda offset, length: data[offset : offset + length], len(data))


MDAT = box(b"mdat", bytes(48))
QUICKTIME = box(b"ftyp", b"qt  ", bytes(4))


def test_an_mp4_says_size_codec_clock_and_number_of_frames() -> None:
    said = read(FTYP + movie(width=320, height=240, timescale=600, duration=1200, samples=48) + MDAT)
    video = TrackClaims(MediaFormat.VIDEO, "avc1", 320, 240, seconds=2.0, frames=48)
    assert said == MediaClaims(Container.MP4, (video,), seconds=2.0)


def test_a_quicktime_file_may_have_its_header_last_and_a_box_of_64_bits() -> None:
    wide = struct.pack(">I4sQ", 1, b"mdat", 16 + 48) + bytes(48)
    said = read(QUICKTIME + wide + movie())
    assert (said.container, said.tracks[0].frames) == (Container.MOV, 48)


def test_a_box_of_no_length_reaches_to_the_end() -> None:
    assert read(FTYP + movie() + struct.pack(">I4s", 0, b"mdat") + bytes(48)).tracks[0].frames == 48


@pytest.mark.parametrize(
    ("matrix", "degrees"),
    [((0, 1, -1, 0), 90), ((-1, 0, 0, -1), 180), ((0, -1, 1, 0), 270), ((-1, 0, 0, 1), None)],
)
def test_rotation(matrix: tuple[int, int, int, int], degrees: int | None) -> None:
    a, b, c, d = (value * 0x10000 for value in matrix)
    turned = poke(movie(), "moov/trak/tkhd", 40, struct.pack(">5i", a, b, 0, c, d))
    assert read(FTYP + turned + MDAT).tracks[0].rotation == degrees


STSD = "moov/trak/mdia/minf/stbl/stsd"


def with_entries(count: int, *more: bytes) -> bytes:
    """A video that says so many sample entries: its own and `more`, its own under another name."""
    header = movie()
    start, end = find(header, STSD)
    entry = header[start + 16 : end]
    others = [entry[:4] + kind + entry[8:] for kind in more]
    return FTYP + put(header, STSD, full_box(b"stsd", struct.pack(">I", count), entry, *others)) + MDAT


def test_a_track_has_one_codec() -> None:
    assert read(with_entries(2, b"avc1")).tracks[0].codec == "avc1"
    with pytest.raises(MediaRefused, match="from avc1 to hvc1"):
        read(with_entries(2, b"hvc1"))


@pytest.mark.parametrize(("count", "words"), [(2, "and has 1"), (17, "more than 16")])
def test_a_number_of_entries_is_not_believed(count: int, words: str) -> None:
    with pytest.raises(MediaRefused, match=words):
        read(with_entries(count))


def fragment(samples: int, *more: bytes) -> bytes:
    run = full_box(b"trun", struct.pack(">I", samples))
    return box(b"moof", box(b"traf", full_box(b"tfhd", struct.pack(">I", 1)), *more, run)) + MDAT


def test_frames_of_fragments_are_counted_and_their_time_is_not_known() -> None:
    said = read(FTYP + movie(samples=0, duration=0) + fragment(24) + fragment(25))
    assert said.fragmented
    assert (said.tracks[0].frames, said.tracks[0].seconds, said.seconds) == (49, None, None)


def test_a_fragment_that_is_encrypted_is_refused() -> None:
    with pytest.raises(MediaRefused, match="encrypted"):
        read(FTYP + movie() + fragment(24, full_box(b"senc", struct.pack(">I", 1))))


def test_matroska_says_its_duration_in_ticks() -> None:
    info = element(0x2AD7B1, (1_000_000).to_bytes(4, "big")) + element(0x4489, struct.pack(">d", 2500.0))
    said = read(matroska(info=info))
    assert said == MediaClaims(Container.WEBM, (TrackClaims(MediaFormat.VIDEO, "V_VP9", 64, 64),), seconds=2.5)


@pytest.mark.parametrize("duration", [float("nan"), float("inf"), -1.0])
def test_a_duration_that_is_no_number_is_refused(duration: float) -> None:
    with pytest.raises(MediaRefused, match="no number"):
        read(matroska(info=element(0x4489, struct.pack(">d", duration))))


@pytest.mark.parametrize(
    ("data", "container"),
    [
        (png(640, 480, b""), Container.PNG),
        (jpeg(640, 480), Container.JPEG),
        (gif(640, 480), Container.GIF),
        (webp(22)[:24] + (639).to_bytes(3, "little") + (479).to_bytes(3, "little"), Container.WEBP),
    ],
)
def test_stills_say_their_size(data: bytes, container: Container) -> None:
    said = read(data)
    assert said.container is container
    assert (said.tracks[0].width, said.tracks[0].height) == (640, 480)
    check_claims(said, MediaFormat.IMAGE, MediaRule())


def wav(rate: int, sound: int, claimed: int) -> bytes:
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate // 2, rate, 2, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + claimed) + b"WAVE" + form + b"data" + struct.pack("<I", claimed) + bytes(sound)
    )


def test_a_wav_lasts_as_long_as_its_bytes_do() -> None:
    said = read(wav(16_000, 8_000, 8_000))
    assert (said.container, said.seconds) == (Container.WAV, 0.5)
    with pytest.raises(MediaRefused, match="ends after"):
        read(wav(16_000, 8_000, 16_000))
    with pytest.raises(MediaRefused, match="no rate"):
        read(wav(0, 8_000, 8_000))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"codec": b"mp4v"}, "codec is mp4v"),
        ({"width": 3842, "height": 16}, "at most 3840"),
        ({"width": 15, "height": 16}, "at least 16"),
        ({"width": 3840, "height": 2400}, "9000000 in all"),
        ({"samples": 1, "duration": 24}, "one frame"),
        ({"samples": 130, "duration": 48, "timescale": 24}, "65 frames a second"),
        ({"samples": 1900, "duration": 32 * 60, "timescale": 60}, "1900 frames"),
        ({"samples": 744, "duration": 744, "timescale": 24}, "31 seconds"),
    ],
)
def test_a_video_beyond_the_limits_is_refused(said: dict[str, int], words: str) -> None:
    told = {"samples": 48, "duration": 48} | said
    with pytest.raises(MediaRefused, match=words):
        check_claims(read(FTYP + movie(**told) + MDAT), MediaFormat.VIDEO, MediaRule())  # type: ignore[arg-type]


def test_a_video_at_the_limits_passes() -> None:
    largest = movie(width=3840, height=2343, samples=1800, duration=1800, timescale=60)
    check_claims(read(FTYP + largest + MDAT), MediaFormat.VIDEO, MediaRule())
