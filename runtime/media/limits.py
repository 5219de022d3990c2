"""What a field of a model's schema takes, held against what a header claims."""

from __future__ import annotations

from collections.abc import Mapping

from contract.media import MediaRule
from runtime.media.claims import Container, MediaClaims, MediaFormat, TrackClaims
from runtime.media.refused import MediaRefused

VIDEO_CODECS = {
    **dict.fromkeys(("avc1", "avc3", "V_MPEG4/ISO/AVC"), "h264"),
    **dict.fromkeys(("hvc1", "hev1", "V_MPEGH/ISO/HEVC"), "hevc"),
    **dict.fromkeys(("vp09", "V_VP9"), "vp9"),
    **dict.fromkeys(("av01", "V_AV1"), "av1"),
}
"""The container's word to the decoder's."""

AUDIO_CODECS = {
    **dict.fromkeys(("mp4a", "A_AAC"), "aac"),
    **dict.fromkeys(("Opus", "A_OPUS"), "opus"),
    "A_VORBIS": "vorbis",
    **dict.fromkeys(("wav-1", "wav-3", "wav-65534"), "pcm"),
}

CLOCK_SLACK = 1.01
"""Cameras' clocks: what they call 60 frames a second is 60.01, and 30 s of it end a frame later."""


def frames_limit(rule: MediaRule) -> int:
    """Frames that a video within the rule can have."""
    return int(rule.seconds_max * rule.fps_max * CLOCK_SLACK)


def check_claims(claims: MediaClaims, wanted: MediaFormat, rule: MediaRule) -> None:
    """MediaRefused, if the header alone says that the file cannot be taken."""
    tracks = claims.of(wanted)
    if not tracks:
        found = ", ".join(sorted({t.format.value if t.format else "data" for t in claims.tracks})) or "nothing"
        raise MediaRefused(f"expected {_a(wanted)}, found {found} in {_a(claims.container)} file", "wrong_kind")
    track = tracks[0]
    if wanted is not MediaFormat.AUDIO:
        check_size(track.width, track.height, wanted, rule)
    if wanted is MediaFormat.VIDEO:
        _check_video(track, rule)
    if wanted is MediaFormat.AUDIO:
        _check_codec(track, wanted, AUDIO_CODECS)
    played = next((s for s in (track.edited_seconds, track.seconds, claims.seconds) if s is not None), None)
    if played is not None:
        check_length(played, wanted, rule)


def check_size(width: int, height: int, wanted: MediaFormat, rule: MediaRule) -> None:
    """MediaRefused."""
    if not width or not height:
        raise MediaRefused(f"the {wanted} has no size: its header says {width} x {height} pixels")
    if min(width, height) < rule.side_min:
        least = f"a side must have at least {rule.side_min}"
        raise MediaRefused(f"the {wanted} has {width} x {height} pixels; {least}", "too_small")
    if max(width, height) > rule.side_max or width * height > rule.pixels_max:
        most = f"at most {rule.side_max} on a side and {rule.pixels_max} in all are taken"
        raise MediaRefused(f"the {wanted} has {width} x {height} pixels; {most}", "too_many_pixels")


def check_length(seconds: float, wanted: MediaFormat, rule: MediaRule) -> None:
    """MediaRefused."""
    if seconds > rule.seconds_max * CLOCK_SLACK:
        most = f"at most {rule.seconds_max:g} are taken"
        raise MediaRefused(f"the {wanted} lasts {_plain(seconds)} seconds; {most}", "too_long")


def check_rate(frames: int, seconds: float, rule: MediaRule) -> None:
    """MediaRefused, if so many frames in so short a time are too many a second."""
    rate = frames / seconds if seconds else float("inf") if frames > 1 else 0.0
    if rate > rule.fps_max * CLOCK_SLACK:
        said = f"{_plain(rate)} frames a second" if seconds else "frames that take no time"
        raise MediaRefused(f"the video has {said}; at most {rule.fps_max} frames a second are taken", "too_fast")


def _a(what: MediaFormat | Container) -> str:
    return (
        f"an {what}"
        if what in (MediaFormat.IMAGE, MediaFormat.AUDIO, Container.MP4, Container.MATROSKA)
        else f"a {what}"
    )


def _plain(number: float) -> str:
    return f"{round(number, 2):.15g}"


def _check_video(track: TrackClaims, rule: MediaRule) -> None:
    _check_codec(track, MediaFormat.VIDEO, VIDEO_CODECS)
    frames = track.frames
    if frames is None:
        return
    if frames == 0:
        raise MediaRefused("the video has no frame", "no_frames")
    if frames == 1:
        raise one_frame()
    if track.seconds:
        check_rate(frames, track.seconds, rule)
    if frames > frames_limit(rule):
        most = f"at most {frames_limit(rule)} are taken"
        raise MediaRefused(f"the video has {frames} frames; {most}", "too_long")


def one_frame() -> MediaRefused:
    return MediaRefused("the video has one frame: send an image instead", "too_short")


def _check_codec(track: TrackClaims, wanted: MediaFormat, codecs: Mapping[str, str]) -> None:
    if track.codec not in codecs:
        taken = ", ".join(sorted(set(codecs.values())))
        raise MediaRefused(f"the {wanted}'s codec is {track.codec or 'not named'}; taken are {taken}", "codec")
