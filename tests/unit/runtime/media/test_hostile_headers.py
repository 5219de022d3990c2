"""Every file of the corpus that Python alone makes is refused by the headers' reader, in a sentence that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.media import MediaRule
from contract.preparation_reports import MEDIA_REFUSALS
from runtime.media.claims import MediaFormat
from runtime.media.file_reader import HEADER_BYTES_MAX, PARTS_MAX, FileReader
from runtime.media.header_check import claims_of
from runtime.media.limits import check_claims
from runtime.media.refused import REFUSED_KINDS, MediaRefused
from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.lying_headers import LYING_HEADERS
from tests.media.corpus.scripts_and_archives import SCRIPTS_AND_ARCHIVES
from tests.media.corpus.trick import Outcome, Stage, Trick

TRICKS = [*SCRIPTS_AND_ARCHIVES, *LYING_HEADERS]
NO_FFMPEG = Ffmpeg(Path("/nowhere"), Path("/nowhere"))


class Source:
    """Bytes that count what is read of them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.reads, self.bytes_read = data, 0, 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        self.bytes_read += length
        return self.data[offset : offset + length]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_a_hostile_file_is_refused_before_any_decoder(trick: Trick) -> None:
    assert not trick.needs_ffmpeg
    assert (trick.outcome, trick.stage) == (Outcome.REFUSED, Stage.HEADER)
    source = Source(trick.make(NO_FFMPEG))

    with pytest.raises(MediaRefused) as refused:
        check_claims(claims_of(source.read_at, len(source.data)), MediaFormat(trick.kind), MediaRule())

    sentence = str(refused.value)
    assert any(gist in sentence for gist in trick.says.split("|")), sentence
    assert sentence.isprintable()
    assert len(sentence) < 200
    assert source.bytes_read <= HEADER_BYTES_MAX
    assert source.reads <= 2 * PARTS_MAX


def test_an_error_of_the_disk_is_no_verdict_on_the_file() -> None:
    def broken(offset: int, length: int) -> bytes:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        claims_of(broken, 100)


def test_a_file_that_is_shorter_than_its_size_is_refused() -> None:
    with pytest.raises(MediaRefused, match="ends before"):
        claims_of(Source(b"").read_at, 100)


def test_a_header_costs_no_more_than_its_budget_of_bytes() -> None:
    source = Source(bytes(2 * HEADER_BYTES_MAX))
    reader = FileReader(source.read_at, len(source.data))
    reader.read(0, HEADER_BYTES_MAX)
    with pytest.raises(MediaRefused, match="longer than"):
        reader.read(0, 1)
    assert source.bytes_read == HEADER_BYTES_MAX


def test_each_kind_of_refusal_is_one_that_a_worker_reports() -> None:
    assert set(REFUSED_KINDS) <= set(MEDIA_REFUSALS)
