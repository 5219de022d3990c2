"""What Matroska and WebM files claim (RFC 9559, elements of RFC 8794)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import msgspec

from runtime.media.claims import Container, MediaClaims, MediaFormat, TrackClaims
from runtime.media.file_reader import FileReader
from runtime.media.refused import MediaRefused, word

EBML, DOC_TYPE = 0x1A45DFA3, 0x4282
SEGMENT, INFO, TRACKS, CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
TIMESTAMP_SCALE, DURATION = 0x2AD7B1, 0x4489
LINKS = (0x3CB923, 0x3EB923, 0x3C83AB, 0x3E83BB)
"""The segment before and the one after, by id and by file name."""
TRACK, TRACK_TYPE, CODEC, CONTENT_ENCODINGS = 0xAE, 0x83, 0x86, 0x6D80
VIDEO, WIDTH, HEIGHT = 0xE0, 0xB0, 0xBA

TRACKS_MAX = 64
DEFAULT_SCALE = 1_000_000
"""Nanoseconds a tick."""


class Element(msgspec.Struct, frozen=True):
    name: int
    start: int
    end: int
    open: bool
    """Whether it does not say how long it is."""


def claims(reader: FileReader) -> MediaClaims:
    """MediaRefused."""
    container: Container | None = None
    for element in _elements(reader, 0, reader.size):
        if element.name == EBML:
            container = _container(reader, element)
        elif element.name == SEGMENT and container is not None:
            return _segment(reader, container, element)
    raise MediaRefused("the file has no segment: it was not finished, or is no video")


def _container(reader: FileReader, header: Element) -> Container:
    kind = next((_bytes(reader, e, 16) for e in _elements(reader, header.start, header.end) if e.name == DOC_TYPE), b"")
    kinds = {b"webm": Container.WEBM, b"matroska": Container.MATROSKA}
    if kind.rstrip(b"\0") not in kinds:
        raise MediaRefused(f"expected webm or matroska, found a file of type {word(kind)}", "not_media")
    return kinds[kind.rstrip(b"\0")]


def _segment(reader: FileReader, container: Container, segment: Element) -> MediaClaims:
    seconds: float | None = None
    tracks: list[TrackClaims] = []
    for element in _elements(reader, segment.start, segment.end):
        if element.name == INFO:
            seconds = _seconds(reader, element)
        elif element.name == TRACKS:
            for entry in _elements(reader, element.start, element.end):
                if entry.name == TRACK:
                    tracks.append(_track(reader, entry))
            if len(tracks) > TRACKS_MAX:
                raise MediaRefused(f"the file has more than {TRACKS_MAX} tracks")
        elif element.name == CLUSTER and element.open:
            break  # what comes after belongs to it as far as we can tell
    if not tracks:
        raise MediaRefused("the file has no header of tracks before its pictures: write it anew")
    return MediaClaims(container, tuple(tracks), seconds=seconds)


def _seconds(reader: FileReader, info: Element) -> float | None:
    scale = DEFAULT_SCALE
    ticks: float | None = None
    for element in _elements(reader, info.start, info.end):
        if element.name in LINKS:
            raise MediaRefused(
                "the file is one part of several (linked segments) and needs another file: send it whole", "not_media"
            )
        if element.name == TIMESTAMP_SCALE:
            scale = _number(reader, element)
        elif element.name == DURATION:
            raw = _bytes(reader, element, 8)
            if len(raw) not in (4, 8):
                raise MediaRefused("its duration is no number")
            ticks = struct.unpack(">d" if len(raw) == 8 else ">f", raw)[0]
    if scale == 0:
        raise MediaRefused("its clock never ticks (timestamp scale 0)")
    if ticks is None:
        return None
    if not math.isfinite(ticks) or ticks < 0:
        raise MediaRefused("its duration is no number")
    return ticks * scale / 1e9


def _track(reader: FileReader, entry: Element) -> TrackClaims:
    kind, codec, width, height = 0, "", 0, 0
    for element in _elements(reader, entry.start, entry.end):
        if element.name == CONTENT_ENCODINGS:
            raise MediaRefused(
                "a track is compressed or encrypted once more (ContentEncodings): write it anew without", "codec"
            )
        if element.name == TRACK_TYPE:
            kind = _number(reader, element)
        elif element.name == CODEC:
            codec = word(_bytes(reader, element, 64))
        elif element.name == VIDEO:
            for inner in _elements(reader, element.start, element.end):
                if inner.name == WIDTH:
                    width = _number(reader, inner)
                elif inner.name == HEIGHT:
                    height = _number(reader, inner)
    formats = {1: MediaFormat.VIDEO, 2: MediaFormat.AUDIO}
    return TrackClaims(formats.get(kind), codec, width, height)


def _elements(reader: FileReader, start: int, end: int) -> Iterator[Element]:
    """Those that lie side by side. MediaRefused."""
    while start < end:
        reader.count_part()
        name, at = _variable(reader, start, end, 4, keep_marker=True)
        size, at = _variable(reader, at, end, 8, keep_marker=False)
        is_open = size == (1 << 7 * (at - start - _length(name))) - 1
        upto = end if is_open else at + size
        if upto > end:
            where = "the file ends" if end == reader.size else "the part around it ends"
            raise MediaRefused(f"its part {name:X} says that it is {size} bytes long, and {where} after {end - at}")
        yield Element(name, at, upto, is_open)
        start = upto


def _length(name: int) -> int:
    return (name.bit_length() + 7) // 8


def _variable(reader: FileReader, at: int, end: int, longest: int, *, keep_marker: bool) -> tuple[int, int]:
    """A number that says its own length, and where it ends. MediaRefused."""
    if at >= end:
        raise MediaRefused("the file ends in the middle of its header: send it again whole")
    first = reader.number(at, 1)
    length = 9 - first.bit_length()
    if length > longest:
        raise MediaRefused("its header is damaged: a part has no name or no length")
    if at + length > end:
        raise MediaRefused("the file ends in the middle of its header: send it again whole")
    value = reader.number(at, length)
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), at + length


def _bytes(reader: FileReader, element: Element, longest: int) -> bytes:
    if element.end - element.start > longest:
        raise MediaRefused(f"its part {element.name:X} is longer than the {longest} bytes that it may have")
    return reader.read(element.start, element.end - element.start)


def _number(reader: FileReader, element: Element) -> int:
    return int.from_bytes(_bytes(reader, element, 8), "big")
