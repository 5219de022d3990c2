"""What the first bytes of a file are, by our own table: what is not in it is not taken."""

from __future__ import annotations

from runtime.media.claims import Container
from runtime.media.file_reader import FileReader
from runtime.media.refused import MediaRefused

HEAD_BYTES = 512

TAKEN = "taken are mp4, mov, webm, mkv, png, jpeg, webp, gif and wav"

_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"Rar!": "rar",
}
_NOT_TAKEN = {
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3": "MP3",
    b"FLV": "Flash video",
    b"\x30\x26\xb2\x75": "Windows Media",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"%PDF": "PDF",
    b"\0\0\x01\xba": "MPEG program stream",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
}
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
_TRANSPORT_PACKET = 188


def container_of(reader: FileReader) -> Container:
    """MediaRefused, unless the first bytes are those of a container that is taken."""
    if reader.size == 0:
        raise MediaRefused("the file is empty", "not_media")
    head = reader.read(0, min(HEAD_BYTES, reader.size))
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12])
    if head[:4] == b"RIFF":
        return _of_riff(head[8:12])
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return Container.MATROSKA  # or webm: its own header says which
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return Container.PNG
    if head[:3] == b"\xff\xd8\xff":
        return Container.JPEG
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return Container.GIF
    raise MediaRefused(_sentence(head), "not_media")


def _of_brand(brand: bytes) -> Container:
    if brand in _HEIF:
        raise MediaRefused(
            "the file is a HEIF or AVIF image, which is not taken: send png, jpeg, webp or gif", "not_media"
        )
    return Container.MOV if brand == b"qt  " else Container.MP4


def _of_riff(form: bytes) -> Container:
    if form == b"WEBP":
        return Container.WEBP
    if form == b"WAVE":
        return Container.WAV
    raise MediaRefused(
        f"the file is {'an AVI' if form == b'AVI ' else 'a RIFF'} file, which is not taken: {TAKEN}", "not_media"
    )


def _sentence(head: bytes) -> str:
    for start, name in _ARCHIVES.items():
        if head.startswith(start):
            return f"the file is an archive ({name}): send what is in it"
    if head[257:262] == b"ustar":
        return "the file is an archive (tar): send what is in it"
    for start, name in _NOT_TAKEN.items():
        if head.startswith(start):
            return f"the file is {name}, which is not taken: {TAKEN}"
    if head[:1] == b"\x47" and head[_TRANSPORT_PACKET : _TRANSPORT_PACKET + 1] == b"\x47":
        return f"the file is an MPEG transport stream, which is not taken: {TAKEN}"
    return _sentence_of_text(head) or f"the file is not a video, image or sound that is known here: {TAKEN}"


def _sentence_of_text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "the file is text: send the media themselves"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"#EXTM3U"):
        return "the file is a playlist, which only names other files: send the video itself"
    if start.startswith((b"ffconcat", b"file ")):
        return "the file is a script that joins other files: send the video itself"
    text = head.decode("utf-8", "ignore")  # the last character may be cut
    if len(text.encode()) < len(head) - 3 or not all(c.isprintable() or c.isspace() for c in text):
        return None
    return "the file is text (a page, a script or a description of other files): send the media themselves"
