"""What WAV files claim."""

from __future__ import annotations

from runtime.media.claims import Container, MediaClaims, MediaFormat, TrackClaims
from runtime.media.file_reader import FileReader
from runtime.media.refused import MediaRefused, word


def claims(reader: FileReader) -> MediaClaims:
    """MediaRefused."""
    at, codec, rate = 12, "", 0
    while at + 8 <= reader.size:
        reader.count_part()
        header = reader.read(at, 8)
        kind, size = header[:4], int.from_bytes(header[4:], "little")
        if at + 8 + size > reader.size:
            rest = reader.size - at - 8
            raise MediaRefused(
                f"its part {word(kind)} says that it is {size} bytes long, and the file ends after {rest}"
            )
        if kind == b"fmt ":
            codec, rate = _format(reader.read(at + 8, 12) if size >= 12 else b"")
        elif kind == b"data":
            if rate == 0:
                raise MediaRefused("the WAV says nothing of its format before its sound, or that it has no rate")
            track = TrackClaims(MediaFormat.AUDIO, codec, seconds=size / rate)
            return MediaClaims(Container.WAV, (track,), seconds=size / rate)
        at += 8 + size + size % 2
    raise MediaRefused("the WAV has no sound")


def _format(raw: bytes) -> tuple[str, int]:
    """Codec and bytes a second."""
    if not raw:
        raise MediaRefused("the WAV's format is too short")
    return f"wav-{int.from_bytes(raw[:2], 'little')}", int.from_bytes(raw[8:12], "little")
