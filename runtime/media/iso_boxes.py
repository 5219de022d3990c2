"""Boxes of MP4 and QuickTime (ISO/IEC 14496-12, section 4.2): where each lies, and numbers in it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from runtime.media.file_reader import FileReader
from runtime.media.refused import MediaRefused, word

HEADER, LARGE_HEADER = 8, 16


class Box(msgspec.Struct, frozen=True):
    kind: bytes
    start: int
    """Of the content."""
    end: int

    @property
    def name(self) -> str:
        return word(self.kind)


def boxes(reader: FileReader, start: int, end: int) -> Iterator[Box]:
    """Those that lie side by side from `start` to `end`. MediaRefused."""
    while start + HEADER <= end:
        box = _box(reader, start, end)
        yield box
        start = box.end


def _box(reader: FileReader, at: int, end: int) -> Box:
    reader.count_part()
    header = reader.read(at, HEADER)
    size, kind, content = int.from_bytes(header[:4], "big"), header[4:], at + HEADER
    if size == 1:
        size, content = reader.number(at + HEADER, HEADER), at + LARGE_HEADER
    elif size == 0:
        size = end - at
    if size < content - at:
        raise MediaRefused(f"its box {word(kind)} says that it is {size} bytes long, less than its own header")
    if at + size > end:
        where = "the file ends" if end == reader.size else "the box around it ends"
        raise MediaRefused(f"its box {word(kind)} says that it is {size} bytes long, and {where} after {end - at}")
    return Box(kind, content, at + size)


def children(reader: FileReader, box: Box) -> Iterator[Box]:
    """MediaRefused."""
    return boxes(reader, box.start, box.end)


def number(reader: FileReader, box: Box, offset: int, length: int) -> int:
    """An unsigned one, `offset` bytes into the box's content. MediaRefused."""
    return int.from_bytes(content(reader, box, offset, length), "big")


def content(reader: FileReader, box: Box, offset: int, length: int) -> bytes:
    """MediaRefused, unless the box is so long."""
    if box.start + offset + length > box.end:
        raise MediaRefused(f"its box {box.name} is too short for what it must hold")
    return reader.read(box.start + offset, length)


def clock(reader: FileReader, box: Box) -> tuple[int, int | None]:
    """Time scale and duration of `mvhd` or `mdhd`; None: not known. MediaRefused."""
    wide = number(reader, box, 0, 1) == 1
    scale = number(reader, box, 20 if wide else 12, 4)
    length = 8 if wide else 4
    duration = number(reader, box, 24 if wide else 16, length)
    if scale == 0:
        raise MediaRefused(f"its box {box.name} has a clock that never ticks (time scale 0)")
    return scale, None if duration == (1 << 8 * length) - 1 else duration
