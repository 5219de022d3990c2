"""Values: what a file claims to be."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class MediaFormat(StrEnum):
    """What a model's schema asks for."""

    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"


class Container(StrEnum):
    """Of those that are taken."""

    MP4 = "mp4"
    MOV = "mov"
    WEBM = "webm"
    MATROSKA = "mkv"
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    GIF = "gif"
    WAV = "wav"

    @property
    def demuxer(self) -> str:
        """The only one of FFmpeg's demuxers that may read such a file."""
        return _DEMUXERS[self]


_DEMUXERS = {
    Container.MP4: "mov",
    Container.MOV: "mov",
    Container.WEBM: "matroska",
    Container.MATROSKA: "matroska",
    Container.PNG: "png_pipe",
    Container.JPEG: "jpeg_pipe",
    Container.WEBP: "webp_pipe",
    Container.GIF: "gif",
    Container.WAV: "wav",
}

STILLS = frozenset({Container.PNG, Container.JPEG, Container.WEBP, Container.GIF})


class TrackClaims(msgspec.Struct, frozen=True):
    """One stream, as the header describes it."""

    format: MediaFormat | None
    """None: subtitles, data, hints."""
    codec: str
    """The container's own word, such as `avc1` or `V_VP9`; printable."""
    width: int = 0
    height: int = 0
    """Pixels before rotation; 0: not said."""
    seconds: float | None = None
    frames: int | None = None
    """None: the header does not say."""
    rotation: int | None = 0
    """Degrees clockwise; None: mirrored or slanted."""
    edits: int = 0
    """Entries of the edit list."""
    edited_seconds: float | None = None
    """What the edit list makes of the track."""


class MediaClaims(msgspec.Struct, frozen=True):
    container: Container
    tracks: tuple[TrackClaims, ...]
    seconds: float | None = None
    """Of the whole, as the container says."""
    fragmented: bool = False

    def of(self, wanted: MediaFormat) -> tuple[TrackClaims, ...]:
        return tuple(track for track in self.tracks if track.format is wanted)
