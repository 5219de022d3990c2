"""The one error of media."""

from __future__ import annotations

REFUSED_KINDS = (
    *("not_media", "wrong_kind", "codec", "damaged", "too_large", "too_long", "too_short", "too_many_pixels"),
    *("too_small", "too_fast", "no_frames", "size_changes", "decoder_time", "decoder_memory", "decoder"),
)
"""Why a file is not taken, in a word that may stand where the file's own words may not: of
contract.preparation_reports.MEDIA_REFUSALS, those that a file itself brings about. not_media: also what only points to
other files. codec: also what is encrypted. too_long: also in frames. too_short: fewer frames than the model needs.
decoder: it did not survive the file."""


class MediaRefused(Exception):
    """A file is not taken. The message is one sentence for the user who sent it, without names of the installation.

    Bytes of the file stand in it only as `word` lets them through."""

    def __init__(self, sentence: str, kind: str = "damaged") -> None:
        """`kind`: of REFUSED_KINDS."""
        assert kind in REFUSED_KINDS, kind
        super().__init__(sentence)
        self.kind = kind


def word(raw: bytes) -> str:
    """A name out of a file, safe to print: at most 32 characters, all of them letters, digits or `_/.-+`."""
    text = raw[:32].decode("ascii", "replace").strip()
    kept = "".join(character if character.isascii() and character.isalnum() else "" for character in text)
    readable = all(character.isascii() and (character.isalnum() or character in "_/.-+ ") for character in text)
    return text if text and readable else (kept and f"{kept}?") or "?"
