"""The first check of a file that came from outside: total, bounded, and without a decoder."""

from __future__ import annotations

from runtime.media import iso_media, matroska, stills, wav
from runtime.media.claims import STILLS, Container, MediaClaims
from runtime.media.file_reader import FileReader, ReadAt
from runtime.media.signatures import container_of


def claims_of(read_at: ReadAt, size: int) -> MediaClaims:
    """What the file claims, whatever its name is. MediaRefused, and no other error, for every sequence of bytes."""
    reader = FileReader(read_at, size)
    container = container_of(reader)
    if container in (Container.MP4, Container.MOV):
        return iso_media.claims(reader, container)
    if container is Container.MATROSKA:
        return matroska.claims(reader)
    if container in STILLS:
        return stills.claims(reader, container)
    return wav.claims(reader)
