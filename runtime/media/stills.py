"""What PNG, JPEG, WebP and GIF files claim: their size in pixels."""

from __future__ import annotations

from runtime.media.claims import Container, MediaClaims, MediaFormat, TrackClaims
from runtime.media.file_reader import FileReader
from runtime.media.refused import MediaRefused

JPEG_MARKERS_MAX = 1000
WEBP_ANIMATION = 0x02
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def claims(reader: FileReader, container: Container) -> MediaClaims:
    """MediaRefused."""
    width, height = _SIZES[container](reader)
    frames = _png_frames(reader) if container is Container.PNG else None
    return MediaClaims(container, (TrackClaims(MediaFormat.IMAGE, container.value, width, height, frames=frames),))


def _png(reader: FileReader) -> tuple[int, int]:
    if reader.read(8, 8) != b"\0\0\0\x0dIHDR":
        raise MediaRefused("the PNG does not begin with its header (IHDR)")
    return reader.number(16, 4), reader.number(20, 4)


def _png_frames(reader: FileReader) -> int | None:
    """Of an animated PNG (acTL), whose first picture is a PNG like others."""
    at = 8
    while at + 8 <= reader.size:
        reader.count_part()
        length, kind = reader.number(at, 4), reader.read(at + 4, 4)
        if kind == b"acTL":
            return reader.number(at + 8, 4)
        if kind == b"IDAT":
            return None
        at += 12 + length
    raise MediaRefused("the PNG has no picture (IDAT)")


def _gif(reader: FileReader) -> tuple[int, int]:
    size = reader.read(6, 4)
    return int.from_bytes(size[:2], "little"), int.from_bytes(size[2:], "little")


def _jpeg(reader: FileReader) -> tuple[int, int]:
    at = 2
    for _ in range(JPEG_MARKERS_MAX):
        marker = reader.number(at, 2)
        if marker >> 8 != 0xFF:
            raise MediaRefused("the JPEG's header is damaged: a marker is missing")
        kind = marker & 0xFF
        if kind in _STARTS_OF_FRAME:
            return reader.number(at + 7, 2), reader.number(at + 5, 2)
        if kind == 0xFF:
            at += 1  # padding
        elif kind in _BARE_MARKERS:
            at += 2
        elif kind in (0xD9, 0xDA):
            break
        else:
            at += 2 + max(2, reader.number(at + 2, 2))
    raise MediaRefused("the JPEG has no frame header before its picture")


def _webp(reader: FileReader) -> tuple[int, int]:
    whole = int.from_bytes(reader.read(4, 4), "little") + 8
    if whole > reader.size:
        raise MediaRefused(f"the WebP says that it is {whole} bytes long, and the file ends after {reader.size}")
    kind, body = reader.read(12, 4), reader.read(20, 10)
    if kind == b"VP8X" and body[0] & WEBP_ANIMATION:
        raise MediaRefused("the WebP is animated, which is not taken: send one picture of it", "codec")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise MediaRefused("the WebP does not begin with a picture's header")


_SIZES = {Container.PNG: _png, Container.GIF: _gif, Container.JPEG: _jpeg, Container.WEBP: _webp}
