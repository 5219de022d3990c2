"""Boxes of MP4 and QuickTime files as bytes: made, found and altered. Shares no line with the product's own reader."""

from __future__ import annotations

import struct
from collections.abc import Iterator

PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"mvex"}


def box(kind: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside), kind) + inside


def full_box(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each box, headers included, on one level. Of well-made files only."""
    end = len(data) if end is None else end
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        assert size >= 8, "corpus clips have neither 64 bit nor open boxes"
        yield kind, start, start + size
        start += size


def find(data: bytes, path: str, which: int = 0) -> tuple[int, int]:
    """Start and end of a box, such as `moov/trak/tkhd`; `which`: of several last ones of that name."""
    start, end = 0, len(data)
    names = path.split("/")
    for level, name in enumerate(names):
        at = [(s, e) for kind, s, e in boxes(data, start, end) if kind == name.encode()]
        start, end = at[which if level == len(names) - 1 else 0]
        if level < len(names) - 1:
            start += 8
    return start, end


def poke(data: bytes, path: str, offset: int, new: bytes) -> bytes:
    """`data` with `new` written over what lies `offset` bytes after the header of a box."""
    start, end = find(data, path)
    at = start + 8 + offset
    assert at + len(new) <= end, f"{path} is shorter than that"
    return data[:at] + new + data[at + len(new) :]


def put(data: bytes, path: str, new: bytes) -> bytes:
    """`data` with a box of moov replaced by `new`: sizes of its parents and offsets of chunks follow."""
    start, end = find(data, path)
    grown = len(new) - (end - start)
    parts = path.split("/")
    altered = bytearray(data)
    for depth in range(1, len(parts)):
        at, upto = find(data, "/".join(parts[:depth]))
        struct.pack_into(">I", altered, at, upto - at + grown)
    whole = bytes(altered[:start]) + new + bytes(altered[end:])
    return moved(whole, start, grown)


def moved(data: bytes, place: int, grown: int) -> bytes:
    """`data` with chunk offsets corrected, for bytes after `place` lie `grown` further on."""
    altered = bytearray(data)
    moov, moov_end = find(data, "moov")
    for kind, start, end in boxes(data, moov + 8, moov_end):
        if kind != b"trak":
            continue
        for at in _chunk_offsets(data, start, end):
            offset = struct.unpack_from(">I", data, at)[0]
            if offset >= place:
                struct.pack_into(">I", altered, at, offset + grown)
    return bytes(altered)


def _chunk_offsets(data: bytes, start: int, end: int) -> Iterator[int]:
    for kind, inner, inner_end in boxes(data, start + 8, end):
        if kind in PARENTS:
            yield from _chunk_offsets(data, inner, inner_end)
        elif kind == b"stco":
            for number in range(struct.unpack_from(">I", data, inner + 12)[0]):
                yield inner + 16 + 4 * number


FTYP = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")


def movie(
    *,
    width: int = 64,
    height: int = 64,
    codec: bytes = b"avc1",
    timescale: int = 24,
    duration: int = 48,
    samples: int = 48,
    within_entry: bytes = b"",
    data_reference: bytes | None = None,
    handler: bytes = b"vide",
    edits: int = 0,
) -> bytes:
    """A moov that says what it is told; no sample is behind it."""
    matrix = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    reference = data_reference if data_reference is not None else full_box(b"url ", flags=1)
    entry = box(
        codec,
        bytes(6) + struct.pack(">H", 1),
        bytes(16) + struct.pack(">HH", width & 0xFFFF, height & 0xFFFF),
        struct.pack(">III", 0x480000, 0x480000, 0) + struct.pack(">H", 1) + bytes(32) + struct.pack(">Hh", 24, -1),
        within_entry,
    )
    tables = box(
        b"stbl",
        full_box(b"stsd", struct.pack(">I", 1), entry),
        full_box(b"stts", struct.pack(">III", 1, samples, max(1, duration // max(1, samples)))),
        full_box(b"stsc", struct.pack(">IIII", 1, 1, samples, 1)),
        full_box(b"stsz", struct.pack(">II", 1, samples)),
        full_box(b"stco", struct.pack(">II", 1, 0)),
    )
    media = box(
        b"mdia",
        full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, timescale, duration, 0x55C4, 0)),
        full_box(b"hdlr", bytes(4) + handler + bytes(12) + b"\0"),
        box(
            b"minf",
            full_box(b"vmhd", bytes(8), flags=1),
            box(b"dinf", full_box(b"dref", struct.pack(">I", 1), reference)),
            tables,
        ),
    )
    track_header = full_box(
        b"tkhd",
        struct.pack(">IIIII", 0, 0, 1, 0, duration)
        + bytes(16)
        + matrix
        + struct.pack(">II", width << 16, height << 16),
        flags=3,
    )
    movie_header = full_box(
        b"mvhd",
        struct.pack(">IIII", 0, 0, timescale, duration)
        + struct.pack(">IHH", 0x10000, 0x100, 0)
        + bytes(8)
        + matrix
        + bytes(24)
        + struct.pack(">I", 2),
    )
    listed = full_box(b"elst", struct.pack(">I", edits), struct.pack(">IiI", duration, 0, 0x10000) * edits)
    edit_box = box(b"edts", listed) if edits else b""
    return box(b"moov", movie_header, box(b"trak", track_header, edit_box, media))
