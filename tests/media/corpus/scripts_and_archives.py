"""Files that are no media at all: they name other files, or grow when opened."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

from tests.media.corpus.boxes import FTYP, box, full_box, movie
from tests.media.corpus.trick import Trick, by_bytes

PLAYLIST = (
    b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXTINF:10,\nhttp://169.254.169.254/latest/\n"
)
CONCAT = b"ffconcat version 1.0\nfile '/etc/passwd'\nfile 'http://127.0.0.1:9000/'\n"
DASH = b'<?xml version="1.0"?>\n<MPD><Period><BaseURL>file:///etc/</BaseURL></Period></MPD>\n'
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>\n'
SESSION = b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"
ZEROS = bytes(16 * 1024 * 1024)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("clip.mp4"), ZEROS, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("../../etc/clip.mp4"))
    return buffer.getvalue()


def compressed_header() -> bytes:
    """QuickTime's header, deflated: 16 MiB that say nothing."""
    packed = struct.pack(">I", len(ZEROS)) + zlib.compress(ZEROS, 9)
    return FTYP + box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", packed)))


def reference_movie() -> bytes:
    place = full_box(b"rdrf", b"url " + struct.pack(">I", 19) + b"file:///etc/passwd\0")
    return FTYP + box(b"moov", box(b"rmra", box(b"rmda", place)))


def data_elsewhere() -> bytes:
    return FTYP + movie(data_reference=full_box(b"url ", b"file:///etc/passwd\0")) + box(b"mdat", bytes(48))


def encrypted() -> bytes:
    scheme = box(b"sinf", box(b"frma", b"avc1"), full_box(b"schm", b"cenc" + bytes(4)))
    return FTYP + movie(codec=b"encv", within_entry=scheme) + box(b"mdat", bytes(48))


SCRIPTS_AND_ARCHIVES: tuple[Trick, ...] = (
    by_bytes("playlist.mp4", "playlist", lambda: PLAYLIST),
    by_bytes("playlist-marked.mp4", "playlist", lambda: b"\xef\xbb\xbf" + PLAYLIST),
    by_bytes("playlist-behind-ftyp.mp4", "header|box", lambda: FTYP + PLAYLIST),
    by_bytes("concat.mp4", "script", lambda: CONCAT),
    by_bytes("dash.mp4", "text", lambda: DASH),
    by_bytes("drawing.png", "text", lambda: SVG, kind="image"),
    by_bytes("session.webm", "text", lambda: SESSION),
    by_bytes("page.mp4", "text", lambda: b"<!doctype html>\n<title>404</title>\n"),
    by_bytes("archive.mp4", "archive", zipped),
    by_bytes("archive-gzip.webm", "archive", lambda: gzip.compress(ZEROS, 9, mtime=0)),
    by_bytes("archive-tar.mov", "archive", tarred),
    by_bytes("compressed-header.mov", "compressed", compressed_header),
    by_bytes("reference-movie.mov", "other file", reference_movie),
    by_bytes("data-elsewhere.mov", "other file", data_elsewhere),
    by_bytes("encrypted.mp4", "encrypted", encrypted),
)
