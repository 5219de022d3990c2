"""The one error of media."""

from __future__ import annotations


class MediaRefused(Exception):
    """A file is not taken. The message is one sentence for the user who sent it, without names of the installation.

    Bytes of the file stand in it only as `word` lets them through."""


def word(raw: bytes) -> str:
    """A name out of a file, safe to print: at most 32 characters, all of them letters, digits or `_/.-+`."""
    text = raw[:32].decode("ascii", "replace").strip()
    kept = "".join(character if character.isascii() and character.isalnum() else "" for character in text)
    readable = all(character.isascii() and (character.isalnum() or character in "_/.-+ ") for character in text)
    return text if text and readable else (kept and f"{kept}?") or "?"
