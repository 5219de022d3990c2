"""The drawn files of the corpus: each is refused by the headers' reader, or left to the decoder, as its row says."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from contract.media import MediaRule
from runtime.media.claims import MediaClaims, MediaFormat
from runtime.media.header_check import claims_of
from runtime.media.limits import check_claims
from runtime.media.refused import MediaRefused
from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.drawn import DRAWN
from tests.media.corpus.trick import Outcome, Stage, Trick


def program() -> Path | None:
    """That which decision 0041 chose, if there is one here."""
    if named := os.environ.get("HEADRACE_FFMPEG"):
        return Path(named)
    wheel = importlib.util.find_spec("imageio_ffmpeg")
    if wheel is None or wheel.origin is None:
        return None
    return next(iter(sorted((Path(wheel.origin).parent / "binaries").glob("ffmpeg-*"))), None)


PROGRAM = program()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no ffmpeg here")


@pytest.fixture(scope="module")
def ffmpeg(tmp_path_factory: pytest.TempPathFactory) -> Ffmpeg:
    assert PROGRAM is not None
    return Ffmpeg(PROGRAM, tmp_path_factory.mktemp("clips"))


def verdict(file: Path, wanted: MediaFormat) -> MediaClaims | str:
    """Claims within the limits, or the refusal."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        claims = claims_of(lambda offset, length: os.pread(descriptor, length, offset), file.stat().st_size)
        check_claims(claims, wanted, MediaRule())
    except MediaRefused as refused:
        return str(refused)
    finally:
        os.close(descriptor)
    return claims


@pytest.mark.parametrize("trick", DRAWN, ids=lambda trick: trick.name)
def test_a_drawn_file_passes_the_headers_as_its_row_says(trick: Trick, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    file = tmp_path / trick.name
    file.write_bytes(trick.make(ffmpeg))

    found = verdict(file, MediaFormat(trick.kind))

    if trick.outcome is Outcome.REFUSED and trick.stage is Stage.HEADER:
        assert isinstance(found, str)
        assert any(gist in found for gist in trick.says.split("|")), found
    else:
        assert isinstance(found, MediaClaims), found


def test_the_same_program_draws_the_same_bytes(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    again = Ffmpeg(ffmpeg.program, tmp_path)
    for trick in DRAWN[:8]:
        assert trick.make(again) == trick.make(ffmpeg), trick.name
