"""Files whose first bytes are right and whose headers are not. Python alone makes them."""

from __future__ import annotations

import struct
import zlib

from tests.media.corpus.boxes import FTYP, box, movie
from tests.media.corpus.trick import Trick, by_bytes

MDAT = box(b"mdat", bytes(48))


def large_box(kind: bytes, claimed: int) -> bytes:
    return struct.pack(">I4sQ", 1, kind, claimed)


def deep(levels: int) -> bytes:
    """Boxes in boxes, each as long as its parent allows."""
    total = 8 * levels
    return b"".join(struct.pack(">I4s", total - 8 * level, b"moov") for level in range(levels))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, picture: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", picture) + chunk(b"IEND", b"")


def png_bomb() -> bytes:
    """16,000 × 16,000 pixels of one bit, all black, in 32 kB."""
    return png(16_000, 16_000, zlib.compress(bytes(16_000 * (1 + 16_000 // 8)), 9))


def jpeg(width: int, height: int) -> bytes:
    components = b"\x01\x11\x00"
    return b"\xff\xd8" + b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + components + b"\xff\xd9"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


def webp(claimed: int) -> bytes:
    return b"RIFF" + struct.pack("<I", claimed) + b"WEBPVP8X" + struct.pack("<IIHBHB", 10, 0, 63, 0, 63, 0)


def element(name: int, *content: bytes) -> bytes:
    """Of Matroska, its length in eight bytes."""
    inside = b"".join(content)
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + (1 << 56 | len(inside)).to_bytes(8, "big") + inside


def matroska(*track: bytes, info: bytes = b"", pixels: tuple[int, int] = (64, 64), kind: bytes = b"webm") -> bytes:
    head = element(0x1A45DFA3, element(0x4282, kind))
    size = element(0xE0, element(0xB0, struct.pack(">H", pixels[0])), element(0xBA, struct.pack(">H", pixels[1])))
    entry = element(0xAE, element(0xD7, b"\1"), element(0x83, b"\1"), element(0x86, b"V_VP9"), size, *track)
    return head + element(0x18538067, element(0x1549A966, info), element(0x1654AE6B, entry))


PACKED = element(0x6D80, element(0x6240, element(0x5034, element(0x4254, b"\0"))))
"""A track whose blocks are deflated."""
LINKED = element(0x3EB923, bytes(16))
"""A segment that another file goes on with."""

LYING_HEADERS: tuple[Trick, ...] = (
    by_bytes("empty.mp4", "empty", lambda: b""),
    by_bytes("one-byte.mp4", "not a video", lambda: b"\0"),
    by_bytes("zeros.mp4", "not a video", lambda: bytes(4096)),
    by_bytes("header-only.mp4", "header", lambda: FTYP),
    by_bytes("gigantic.mp4", "pixels|side", lambda: FTYP + movie(width=65_535, height=65_535) + MDAT),
    by_bytes("gigantic.webm", "pixels|side", lambda: matroska(pixels=(65_535, 65_535))),
    by_bytes("one-pixel.mp4", "at least", lambda: FTYP + movie(width=1, height=1) + MDAT),
    by_bytes("one-pixel.png", "at least", lambda: png(1, 1, zlib.compress(bytes(2))), kind="image"),
    by_bytes("no-size.mp4", "pixels|size", lambda: FTYP + movie(width=0, height=0) + MDAT),
    by_bytes("million-frames-a-second.mp4", "frames a second", lambda: FTYP + movie(timescale=1_000_000) + MDAT),
    by_bytes("an-hour.mp4", "seconds", lambda: FTYP + movie(duration=24 * 3600, samples=48) + MDAT),
    by_bytes("no-clock.mp4", "never ticks", lambda: FTYP + movie(timescale=0) + MDAT),
    by_bytes("samples-without-end.mp4", "frames", lambda: FTYP + movie(samples=0xFFFFFFFF) + MDAT),
    by_bytes("zero-frames.mp4", "no frame", lambda: FTYP + movie(samples=0) + MDAT),
    by_bytes("box-beyond-the-end.mp4", "ends", lambda: FTYP + movie() + large_box(b"mdat", 1 << 62)),
    by_bytes("box-smaller-than-itself.mp4", "its own header", lambda: FTYP + struct.pack(">I4s", 7, b"moov") + MDAT),
    by_bytes("long-box-of-no-length.mp4", "its own header", lambda: FTYP + large_box(b"mdat", 0) + movie()),
    by_bytes("a-hundred-edits.mp4", "edit list", lambda: FTYP + movie(edits=100) + MDAT),
    by_bytes("twenty-edits.mp4", "40 seconds", lambda: FTYP + movie(edits=20) + MDAT),
    by_bytes("a-million-boxes.mp4", "boxes", lambda: FTYP + box(b"free") * 1_000_000),
    by_bytes("deep-boxes.mp4", "header|box", lambda: FTYP + deep(100_000)),
    by_bytes("two-headers.mp4", "two headers", lambda: FTYP + movie() + movie() + MDAT),
    by_bytes("photo.jpg", "HEIF", lambda: box(b"ftyp", b"heic", bytes(4), b"mif1heic") + MDAT, kind="image"),
    by_bytes("short-header-box.mp4", "too short", lambda: FTYP + box(b"moov", box(b"mvhd", bytes(8))) + MDAT),
    by_bytes("cut.mkv", "and the file ends after", lambda: matroska(kind=b"matroska")[:-3]),
    by_bytes("nameless-part.mkv", "no name", lambda: matroska()[:26] + bytes(4096)),
    by_bytes("linked.mkv", "other file", lambda: matroska(info=LINKED, kind=b"matroska")),
    by_bytes("packed-track.mkv", "compressed", lambda: matroska(PACKED, kind=b"matroska")),
    by_bytes("bomb.png", "pixels|side", png_bomb, kind="image"),
    by_bytes("gigantic.jpg", "pixels|side", lambda: jpeg(65_500, 65_500), kind="image"),
    by_bytes("gigantic.gif", "pixels|side", lambda: gif(65_535, 65_535), kind="image"),
    by_bytes("longer-than-itself.webp", "ends", lambda: webp(1 << 31), kind="image"),
    by_bytes("still.mp4", "image", lambda: png(64, 64, zlib.compress(bytes(64 * 9)))),
    by_bytes("sound.mp4", "audio", lambda: FTYP + movie(handler=b"soun", codec=b"mp4a") + MDAT),
)
