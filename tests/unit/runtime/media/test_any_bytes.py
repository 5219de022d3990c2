"""The headers' reader is total: whatever the bytes, claims or a refusal, within its budget."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.media import MediaRule
from runtime.media.claims import MediaFormat
from runtime.media.file_reader import HEADER_BYTES_MAX
from runtime.media.header_check import claims_of
from runtime.media.limits import check_claims
from runtime.media.refused import MediaRefused, word
from tests.media.corpus.boxes import FTYP, box, movie
from tests.media.corpus.lying_headers import gif, jpeg, matroska, png, webp

WELL_MADE = (
    FTYP + movie() + box(b"mdat", bytes(48)),
    FTYP + movie(codec=b"mp4a", handler=b"soun") + box(b"moof", box(b"traf", box(b"trun", bytes(8)))),
    matroska(),
    png(64, 64, b""),
    jpeg(64, 64),
    gif(64, 64),
    webp(22),
    b"RIFF" + bytes(4) + b"WAVEfmt \x10\0\0\0" + bytes(16) + b"data" + bytes(4),
)
STARTS = tuple(sorted({data[:12] for data in WELL_MADE}))


def look(data: bytes) -> None:
    """AssertionError, unless the file is taken or refused in a sentence, for little reading."""
    read, sentence = 0, "taken"

    def read_at(offset: int, length: int) -> bytes:
        nonlocal read
        assert 0 <= offset <= len(data)
        read += length
        return data[offset : offset + length]

    try:
        claims = claims_of(read_at, len(data))
        for wanted in MediaFormat:
            check_claims(claims, wanted, MediaRule())
    except MediaRefused as refused:
        sentence = str(refused)
    assert sentence.isprintable()
    assert read <= HEADER_BYTES_MAX


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_any_bytes_behind_a_good_start(start: bytes, rest: bytes) -> None:
    look(start + rest)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_well_made_file_with_bytes_altered_or_cut(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(WELL_MADE)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(file) - 1))
        new = data.draw(st.sampled_from([b"\0", b"\xff", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1"]))
        file[at : at + len(new)] = new
    look(bytes(file[: data.draw(st.integers(0, len(file)))]))


def test_every_cut_and_every_byte_of_a_video_turned_round() -> None:
    video = WELL_MADE[0]
    for at in range(len(video)):
        look(video[:at])
        look(video[:at] + bytes([video[at] ^ 0xFF]) + video[at + 1 :])


@given(st.binary(max_size=40))
def test_words_of_a_file_are_safe_to_print(raw: bytes) -> None:
    text = word(raw)
    assert text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 33
