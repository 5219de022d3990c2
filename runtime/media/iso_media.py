"""What MP4 and QuickTime files claim: clocks, sizes, codecs, numbers of samples.

Refused here: headers that point to other files, compressed headers, encrypted tracks, files that end early."""

from __future__ import annotations

import struct
from collections import Counter

import msgspec

from runtime.media.claims import Container, MediaClaims, MediaFormat, TrackClaims
from runtime.media.file_reader import FileReader
from runtime.media.iso_boxes import Box, boxes, children, clock, content, number
from runtime.media.refused import MediaRefused, word

TRACKS_MAX = 64
ENTRIES_MAX = 16
"""Sample entries or data references of one track that are looked at; more are refused."""
EDITS_MAX = 64
"""Entries of an edit list. A phone writes one or two."""

ENCRYPTED = (b"encv", b"enca", b"drmi", b"drms")
QUARTERS = {
    (0x10000, 0, 0, 0x10000): 0,
    (0, 0x10000, -0x10000, 0): 90,
    (-0x10000, 0, 0, -0x10000): 180,
    (0, -0x10000, 0x10000, 0): 270,
}


class _Track(msgspec.Struct):
    """One that is being read."""

    identity: int = 0
    handler: bytes = b""
    codec: str = ""
    sizes: list[tuple[int, int]] = []
    rotation: int | None = 0
    scale: int = 0
    duration: int | None = None
    samples: int | None = None
    edits: int = 0
    edited: int | None = None


def claims(reader: FileReader, container: Container) -> MediaClaims:
    """MediaRefused."""
    header: Box | None = None
    fragments: Counter[int] = Counter()
    fragmented = False
    for box in boxes(reader, 0, reader.size):
        if box.kind == b"moov":
            if header is not None:
                raise MediaRefused("the file has two headers (moov): write it anew with one")
            header = box
        elif box.kind == b"moof":
            fragmented = True
            _count_fragment(reader, box, fragments)
    if header is None:
        raise MediaRefused("the file has no header (moov): it was not finished, or is no video")
    return _of_movie(reader, container, header, fragments, fragmented)


def _count_fragment(reader: FileReader, moof: Box, frames: Counter[int]) -> None:
    """Adds a fragment's samples to its track's."""
    for run in children(reader, moof):
        if run.kind != b"traf":
            continue
        track = 0
        for box in children(reader, run):
            if box.kind == b"tfhd":
                track = number(reader, box, 4, 4)
            elif box.kind == b"trun":
                frames[track] += number(reader, box, 4, 4)
            elif box.kind in (b"senc", b"saiz"):
                raise MediaRefused("its tracks are encrypted: send the video without protection", "codec")


def _of_movie(
    reader: FileReader, container: Container, moov: Box, fragments: Counter[int], fragmented: bool
) -> MediaClaims:
    scale, duration = 0, None
    tracks: list[_Track] = []
    for box in children(reader, moov):
        if box.kind in (b"cmov", b"rmra"):
            raise MediaRefused(*_INDIRECT[box.kind])
        if box.kind == b"pssh":
            raise MediaRefused("its tracks are encrypted: send the video without protection", "codec")
        if box.kind == b"mvhd":
            scale, duration = clock(reader, box)
        elif box.kind == b"mvex":
            fragmented = True
        elif box.kind == b"trak":
            tracks.append(_track(reader, box))
            if len(tracks) > TRACKS_MAX:
                raise MediaRefused(f"the file has more than {TRACKS_MAX} tracks")
    if scale == 0:
        raise MediaRefused("its header (moov) has no clock of its own (mvhd)")
    said = tuple(_claims_of(track, scale, fragments if fragmented else None) for track in tracks)
    seconds = duration / scale if duration is not None else None
    return MediaClaims(container, said, seconds=None if fragmented and not seconds else seconds, fragmented=fragmented)


_INDIRECT = {
    b"cmov": ("its header is compressed (cmov), which is not taken: write it anew", "codec"),
    b"rmra": ("the file only points to another file (rmra), which is not taken: send the video itself", "not_media"),
}


def _claims_of(track: _Track, movie_scale: int, fragments: Counter[int] | None) -> TrackClaims:
    samples = track.samples
    seconds = track.duration / track.scale if track.duration is not None and track.scale else None
    if fragments is not None:
        samples = (samples or 0) + fragments[track.identity]
        seconds = seconds or None  # fragments come on top, and only the decoder knows how long they are
    formats = {b"vide": MediaFormat.VIDEO, b"soun": MediaFormat.AUDIO}
    width, height = max(track.sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return TrackClaims(
        format=formats.get(track.handler),
        codec=track.codec,
        width=width,
        height=height,
        seconds=seconds,
        frames=samples,
        rotation=track.rotation,
        edits=track.edits,
        edited_seconds=track.edited / movie_scale if track.edited is not None else None,
    )


def _track(reader: FileReader, trak: Box) -> _Track:
    track = _Track()
    for box in children(reader, trak):
        if box.kind == b"tkhd":
            _read_track_header(reader, box, track)
        elif box.kind == b"edts":
            for inner in children(reader, box):
                if inner.kind == b"elst":
                    _read_edits(reader, inner, track)
        elif box.kind == b"mdia":
            _read_media(reader, box, track)
    return track


def _read_track_header(reader: FileReader, box: Box, track: _Track) -> None:
    wide = number(reader, box, 0, 1) == 1
    track.identity = number(reader, box, 20 if wide else 12, 4)
    a, b, _, c, d = struct.unpack(">5i", content(reader, box, 52 if wide else 40, 20))
    track.rotation = QUARTERS.get((a, b, c, d))


def _read_edits(reader: FileReader, box: Box, track: _Track) -> None:
    wide = number(reader, box, 0, 1) == 1
    track.edits = number(reader, box, 4, 4)
    if track.edits > EDITS_MAX:
        raise MediaRefused(
            f"its edit list has {track.edits} entries, more than {EDITS_MAX}: write the video anew without"
        )
    step, length = (20, 8) if wide else (12, 4)
    track.edited = sum(number(reader, box, 8 + step * entry, length) for entry in range(track.edits))


def _read_media(reader: FileReader, mdia: Box, track: _Track) -> None:
    for box in children(reader, mdia):
        if box.kind == b"mdhd":
            track.scale, track.duration = clock(reader, box)
        elif box.kind == b"hdlr":
            track.handler = content(reader, box, 8, 4)
        elif box.kind == b"minf":
            for inner in children(reader, box):
                if inner.kind == b"dinf":
                    _check_data_is_here(reader, inner)
                elif inner.kind == b"stbl":
                    _read_tables(reader, inner, track)


def _check_data_is_here(reader: FileReader, dinf: Box) -> None:
    """MediaRefused where a track's samples lie in another file."""
    for box in children(reader, dinf):
        if box.kind != b"dref":
            continue
        for entry in _entries(reader, box):
            if not number(reader, entry, 0, 4) & 1:
                raise MediaRefused(
                    "a track's data lie in another file, which is not taken: send one whole file", "not_media"
                )


def _entries(reader: FileReader, box: Box) -> list[Box]:
    """Of a box that counts what it holds. MediaRefused."""
    count = number(reader, box, 4, 4)
    if count > ENTRIES_MAX:
        raise MediaRefused(f"its box {box.name} says that it has {count} entries, more than {ENTRIES_MAX}")
    found = [entry for entry, _ in zip(boxes(reader, box.start + 8, box.end), range(count), strict=False)]
    if len(found) < count:
        raise MediaRefused(f"its box {box.name} says that it has {count} entries, and has {len(found)}")
    return found


def _read_tables(reader: FileReader, stbl: Box, track: _Track) -> None:
    for box in children(reader, stbl):
        if box.kind == b"stsd":
            for entry in _entries(reader, box):
                _read_sample_entry(reader, entry, track)
        elif box.kind in (b"stsz", b"stz2"):
            track.samples = number(reader, box, 8, 4)


def _read_sample_entry(reader: FileReader, entry: Box, track: _Track) -> None:
    if entry.kind in ENCRYPTED:
        raise MediaRefused("its tracks are encrypted: send the video without protection", "codec")
    track.codec = track.codec or word(entry.kind)
    if word(entry.kind) != track.codec:
        raise MediaRefused(f"a track changes its codec from {track.codec} to {entry.name}: write it anew with one")
    if track.handler == b"vide":
        track.sizes = [*track.sizes, (number(reader, entry, 24, 2), number(reader, entry, 26, 2))]
