"""What a field of a model's schema takes, held against what a header claims and what a decoder found."""

from __future__ import annotations

import msgspec

from runtime.media.claims import Container, MediaClaims, MediaFormat, TrackClaims
from runtime.media.refused import MediaRefused

VIDEO_CODECS = {
    **dict.fromkeys(("avc1", "avc3", "V_MPEG4/ISO/AVC"), "h264"),
    **dict.fromkeys(("hvc1", "hev1", "V_MPEGH/ISO/HEVC"), "hevc"),
    **dict.fromkeys(("vp09", "V_VP9"), "vp9"),
    **dict.fromkeys(("av01", "V_AV1"), "av1"),
}
"""The container's word to the decoder's."""


class MediaLimits(msgspec.Struct, frozen=True):
    """The defaults; a schema may ask for less."""

    bytes: int = 200_000_000
    seconds: float = 30.0
    frames_per_second: int = 60
    side_min: int = 16
    side: int = 3840
    pixels: int = 9_000_000

    @property
    def frames(self) -> int:
        return int(self.seconds * self.frames_per_second)


def check_claims(claims: MediaClaims, wanted: MediaFormat, limits: MediaLimits) -> None:
    """MediaRefused, if the header alone says that the file cannot be taken."""
    tracks = claims.of(wanted)
    if not tracks:
        found = ", ".join(sorted({t.format.value if t.format else "data" for t in claims.tracks})) or "nothing"
        raise MediaRefused(f"expected {_a(wanted)}, found {found} in {_a(claims.container)} file")
    track = tracks[0]
    if wanted is not MediaFormat.AUDIO:
        _check_size(track, wanted, limits)
    if wanted is MediaFormat.VIDEO:
        _check_video(track, limits)
    for seconds in (claims.seconds, track.seconds, track.edited_seconds):
        if seconds is not None and seconds > limits.seconds:
            raise MediaRefused(f"the {wanted} lasts {_plain(seconds)} seconds; at most {limits.seconds:g} are taken")


def _a(what: MediaFormat | Container) -> str:
    return (
        f"an {what}"
        if what in (MediaFormat.IMAGE, MediaFormat.AUDIO, Container.MP4, Container.MATROSKA)
        else f"a {what}"
    )


def _plain(number: float) -> str:
    return f"{round(number, 2):.15g}"


def _check_size(track: TrackClaims, wanted: MediaFormat, limits: MediaLimits) -> None:
    width, height = track.width, track.height
    if not width or not height:
        raise MediaRefused(f"the {wanted} has no size: its header says {width} x {height} pixels")
    if min(width, height) < limits.side_min:
        raise MediaRefused(f"the {wanted} has {width} x {height} pixels; a side must have at least {limits.side_min}")
    if max(width, height) > limits.side or width * height > limits.pixels:
        most = f"at most {limits.side} on a side and {limits.pixels} in all are taken"
        raise MediaRefused(f"the {wanted} has {width} x {height} pixels; {most}")


def _check_video(track: TrackClaims, limits: MediaLimits) -> None:
    if track.codec not in VIDEO_CODECS:
        taken = ", ".join(sorted(set(VIDEO_CODECS.values())))
        raise MediaRefused(f"the video's codec is {track.codec or 'not named'}; taken are {taken}")
    frames = track.frames
    if frames is None:
        return
    if frames == 0:
        raise MediaRefused("the video has no frame")
    if frames == 1:
        raise MediaRefused("the video has one frame: send an image instead")
    rate = frames / track.seconds if track.seconds else 0.0
    if rate > limits.frames_per_second * 1.01:  # clocks of cameras: 60.01
        raise MediaRefused(
            f"the video has {_plain(rate)} frames a second; at most {limits.frames_per_second} are taken"
        )
    if frames > limits.frames:
        raise MediaRefused(f"the video has {frames} frames; at most {limits.frames} are taken")
