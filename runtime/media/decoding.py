"""How the program is asked to decode: what a file can reach of it, and what its end says of the file."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence

import msgspec

from contract.media import MediaRule
from runtime.media.claims import Container, MediaClaims, MediaFormat
from runtime.media.confined_program import NO_PROGRAM, REFUSED, CutOff, Ended, ProgramBounds
from runtime.media.decoder_program import DecoderUnusable
from runtime.media.limits import AUDIO_CODECS, VIDEO_CODECS
from runtime.media.refused import MediaRefused

QUIET = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info")
STREAMS_MAX = 64
DECODERS = {"h264": "h264", "hevc": "hevc", "vp9": "vp9", "av1": "libdav1d"}
SOUND_DECODERS = {
    "aac": "aac",
    "opus": "opus",
    "vorbis": "vorbis",
    "pcm": "pcm_s16le,pcm_s24le,pcm_s32le,pcm_u8,pcm_f32le,pcm_f64le",
}
STILL_DECODERS = {
    Container.PNG: "png",
    Container.JPEG: "mjpeg",
    Container.WEBP: "webp",
    Container.GIF: "gif",
}
BLOCK = 64
"""Pixels by which a decoder may round a side up before it holds the picture against its own limit."""

OUT_OF_MEMORY = 256 - errno.ENOMEM
"""Exit status of FFmpeg that got no memory."""
SHORTAGE = (b"Cannot allocate memory", b"get_buffer() failed", b"pthread_create() failed")
"""What it says where it takes the lack of memory for damage of the file."""


class PreparationBounds(msgspec.Struct, frozen=True):
    """What one preparation may use up. A file within a rule stays far within these: twice its length of one core, and
    1 GB."""

    start_s: float = 20.0
    """Of the wall clock and of a processor, and then for each second that the rule takes, `per_second_s` more."""
    per_second_s: float = 3.0
    memory_bytes: int = 400 * 2**20
    """Address space for a small picture."""
    bytes_per_pixel: int = 72
    """And for each pixel: 16 frames of reference with two bytes a colour, and what filters hold."""

    def of(self, rule: MediaRule, pixels: int) -> ProgramBounds:
        wall_s = self.start_s + self.per_second_s * rule.seconds_max
        return ProgramBounds(wall_s, int(wall_s), self.memory_bytes + self.bytes_per_pixel * pixels)


def codec_of(claims: MediaClaims, wanted: MediaFormat) -> str:
    """As the facts name it. Claims that were checked."""
    said = claims.of(wanted)[0].codec
    if wanted is MediaFormat.IMAGE:
        return claims.container.value
    return (VIDEO_CODECS if wanted is MediaFormat.VIDEO else AUDIO_CODECS)[said]


def input_arguments(
    claims: MediaClaims, wanted: MediaFormat, descriptor: int, rule: MediaRule, *, upright: bool
) -> list[str]:
    """Everything before the filters: one demuxer, one decoder, nothing but the descriptor, the first stream of the
    wanted kind. `upright`: pictures are turned as the file says."""
    codec, demuxer = codec_of(claims, wanted), claims.container.demuxer
    if wanted is MediaFormat.IMAGE:
        decoders = STILL_DECODERS[claims.container]
    else:
        decoders = (DECODERS if wanted is MediaFormat.VIDEO else SOUND_DECODERS)[codec]
    forced = [] if "," in decoders else [f"-c:{'a' if wanted is MediaFormat.AUDIO else 'v'}", decoders]
    pixels = (rule.side_max + BLOCK) * (rule.pixels_max // rule.side_max + BLOCK)
    return [
        *(*QUIET, "-xerror", "-threads", "1", "-filter_threads", "1"),
        *("-protocol_whitelist", "fd", "-format_whitelist", demuxer, "-codec_whitelist", decoders),
        *("-max_streams", str(STREAMS_MAX), "-max_pixels", str(pixels), *forced),
        *([] if upright else ["-noautorotate"]),
        *(["-err_detect", "explode"] if wanted is MediaFormat.IMAGE else []),  # else half a JPEG is a JPEG
        *("-f", demuxer, "-fd", str(descriptor), "-i", "fd:"),
        *(("-map", "0:a:0", "-vn") if wanted is MediaFormat.AUDIO else ("-map", "0:V:0", "-an")),
        *("-sn", "-dn"),
    ]


def judge(ended: Ended, errors: Sequence[bytes], bounds: ProgramBounds, wanted: MediaFormat, frames: int) -> None:
    """MediaRefused where the program did not come to a good end on the file; OSError where the file is not at fault.
    `errors`: what the program said; `frames`: that it gave."""
    if ended.cause is CutOff.TIME or ended.cpu_s >= bounds.cpu_s or ended.status == -signal.SIGXCPU:
        limit = f"more than the {bounds.wall_s:.0f} s that it may"
        raise MediaRefused(f"to decode the {wanted} takes {limit}: send a shorter or a smaller one", "decoder_time")
    if ended.cause is CutOff.TALK:
        raise MediaRefused(f"the {wanted} is full of data that are no pictures: write it anew without")
    if ended.status == 0:
        return
    if ended.status in (REFUSED, NO_PROGRAM):
        raise DecoderUnusable("expected a decoder behind its layers, found that it does not start")
    if ended.status == 256 - errno.ENOSPC:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if any(b"max pixel count" in line for line in errors):
        raise MediaRefused(f"the {wanted}'s pictures have more pixels than its header says", "too_many_pixels")
    if ended.status in (OUT_OF_MEMORY, -signal.SIGKILL) or any(sign in line for line in errors for sign in SHORTAGE):
        limit = f"more than the {bounds.memory_bytes // 10**6} MB of memory that it may"
        raise MediaRefused(f"to decode the {wanted} takes {limit}: send a smaller one", "decoder_memory")
    if ended.status < 0:
        raise MediaRefused(f"the decoder did not survive the {wanted}: write it anew", "decoder")
    where = f" after {frames} frames" if frames else ""
    raise MediaRefused(f"the {wanted} is damaged: it cannot be decoded to its end{where}")
