"""Untrusted bytes become prepared media: the one function that a CPU worker calls for each file.

Theory of operation. Our own reader says what the file claims to be; what is refused by that never reaches a decoder.
The decoder then works in a process of its own, on a descriptor, and every frame that it gives is counted here before it
is kept. What is kept goes to disk as it comes, so memory does not grow with the file. The target appears whole, at the
end.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from contract.media import FORMS, MediaRule, prepared_bytes_max
from contract.prepared import MediaFacts
from runtime.media import array_file, encoding, sounds
from runtime.media.claims import MediaFormat
from runtime.media.confined_program import MediaDecoder
from runtime.media.decoding import PreparationBounds, codec_of
from runtime.media.frame_times import FrameTimes
from runtime.media.header_check import claims_of
from runtime.media.limits import check_claims
from runtime.media.media_source import MediaSource
from runtime.media.picture_size import size_plan
from runtime.media.pictures import RGB, YUV, Decoded, FirstLook, decode, first_look
from runtime.media.refused import MediaRefused

FRAMES, _ = FORMS
DEFAULT_BOUNDS = PreparationBounds()
READ_BYTES = 1024 * 1024


def prepare_file(
    source: Path,
    kind: str,
    rule: MediaRule,
    target: Path,
    scratch: Path,
    decoder: MediaDecoder,
    *,
    source_sha256: str = "",
    bounds: PreparationBounds = DEFAULT_BOUNDS,
) -> MediaFacts:
    """Write what the model gets of a file to `target`, and say what was found and done. Blocks, for any thread.

    `kind`: of contract.media.KINDS. `scratch`: an empty private directory on the target's file system, with room for
    `prepared_bytes_max`, and for a video file twice that; what lies in it afterwards is the caller's to remove.
    `source_sha256`: as the caller found it, who has read all of the file anyway; empty: it is found here. To kill the
    process group of the caller leaves no process.

    MediaRefused, with the sentence for the user and a kind of REFUSED_KINDS. OSError where the file is not at fault: no
    space, no decoder (DecoderUnusable), a disk that fails. No target then."""
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise MediaRefused("expected a file, found something else", "not_media")
        if found.st_size > rule.bytes_max:
            sentence = f"the file has {found.st_size} bytes; at most {rule.bytes_max} are taken"
            raise MediaRefused(sentence, "too_large")
        wanted = MediaFormat(kind)
        claims = claims_of(lambda offset, length: os.pread(descriptor, length, offset), found.st_size)
        check_claims(claims, wanted, rule)
        one = MediaSource(descriptor, claims, wanted, rule, decoder, scratch, bounds)
        facts = MediaFacts(
            container=claims.container.value,
            codec=codec_of(claims, wanted),
            source_bytes=found.st_size,
            source_sha256=source_sha256 or _digest(descriptor),
            changes=_dropped_tracks(one),
        )
        made = scratch / "prepared"
        with made.open("xb+") as file:
            facts = _MAKERS[wanted](one, facts, file)
            file.flush()
            _check_bytes(file, kind, rule)
        made.rename(target)
        return facts
    finally:
        os.close(descriptor)


def _digest(descriptor: int) -> str:
    digest, at = hashlib.sha256(), 0
    while data := os.pread(descriptor, READ_BYTES, at):
        digest.update(data)
        at += len(data)
    return digest.hexdigest()


def _check_bytes(file: BinaryIO, kind: str, rule: MediaRule) -> None:
    most = prepared_bytes_max(kind, rule) + encoding.FILE_SLACK_BYTES
    written = os.fstat(file.fileno()).st_size
    if written > most:
        sentence = f"what the model would get of it has {written} bytes, more than the {most} that it may have"
        raise MediaRefused(sentence, "too_large")


def _dropped_tracks(source: MediaSource) -> tuple[str, ...]:
    """A model gets one track, of the kind that it asked for."""
    others = [track.format for track in source.claims.tracks]
    others.remove(source.wanted)
    changes = {"audio_dropped"} if MediaFormat.AUDIO in others and source.wanted is MediaFormat.VIDEO else set[str]()
    if source.wanted is not MediaFormat.VIDEO or set(others) - {MediaFormat.AUDIO}:
        changes |= {"streams_dropped"} if others else set()
    return tuple(sorted(changes))


def _video(source: MediaSource, facts: MediaFacts, file: BinaryIO) -> MediaFacts:
    rule, look = source.rule, first_look(source)
    is_array = rule.form == FRAMES
    size = size_plan(*look.upright, look.sample_aspect, rule, even=not is_array)
    if is_array:
        file.seek(array_file.HEADER_BYTES)
        decoded = decode(source, look, size, RGB, file, rule.frames_max)
        kept = _on_grid(decoded, rule)
        file.truncate(array_file.HEADER_BYTES + kept * size.width * size.height * 3)
        array_file.write_header(file, array_file.PIXELS, (kept, size.height, size.width, 3))
    else:
        with (source.scratch / "frames").open("xb+") as raw:
            decoded = decode(source, look, size, YUV, raw, rule.frames_max)
            kept = _on_grid(decoded, rule)
            raw.flush()
            raw.seek(0)
            video = encoding.RawVideo(size.width, size.height, rule.fps, kept)
            encoding.encode_mp4(raw, video, file, source.decoder, source.scratch)
        (source.scratch / "frames").unlink()
    changes = {*facts.changes, *size.changes, *_changed_light(look)}
    changes |= {"frames_dropped"} if decoded.has_more or kept < decoded.frames else set()
    changes |= {"rate_made_constant"} if decoded.times.is_uneven else set()
    return _with_picture(facts, look, size.width, size.height, changes, frames=kept, fps=rule.fps, times=decoded.times)


def _on_grid(decoded: Decoded, rule: MediaRule) -> int:
    """Frames that the model gets. MediaRefused."""
    decoded.times.check()
    if decoded.frames < rule.frames_min:
        given = f"the video gives {decoded.frames} frames at {rule.fps} a second"
        raise MediaRefused(f"{given}; the model needs at least {rule.frames_min}", "too_short")
    return decoded.frames - (decoded.frames - rule.frames_min) % rule.frames_step


def _image(source: MediaSource, facts: MediaFacts, file: BinaryIO) -> MediaFacts:
    rule, look = source.rule, first_look(source)
    size = size_plan(*look.upright, look.sample_aspect, rule, even=False)
    if rule.form == FRAMES:
        file.seek(array_file.HEADER_BYTES)
        decoded = decode(source, look, size, RGB, file, 1)
        array_file.write_header(file, array_file.PIXELS, (size.height, size.width, 3))
    else:
        with (source.scratch / "frames").open("xb+") as raw:
            decoded = decode(source, look, size, RGB, raw, 1)
            raw.seek(0)
            encoding.write_png(raw, size.width, size.height, file)
        (source.scratch / "frames").unlink()
    if not decoded.frames:
        raise MediaRefused("the image has no picture that can be decoded", "no_frames")
    changes = {*facts.changes, *size.changes, *_changed_light(look)}
    changes |= {"transparency_dropped"} if look.is_transparent else set()
    changes |= {"animation_dropped"} if look.is_animated else set()
    return _with_picture(facts, look, size.width, size.height, changes, frames=1)


def _changed_light(look: FirstLook) -> set[str]:
    return {
        *(("hdr_to_sdr",) if look.is_bright else ()),
        *(("depth_reduced",) if look.frame.has_depth else ()),
    }


def _with_picture(
    facts: MediaFacts,
    look: FirstLook,
    width: int,
    height: int,
    changes: set[str],
    *,
    frames: int,
    fps: int = 0,
    times: FrameTimes | None = None,
) -> MediaFacts:
    return msgspec.structs.replace(
        facts,
        source_width=look.frame.width,
        source_height=look.frame.height,
        source_ms=round(times.seconds * 1000) if times else 0,
        source_frames=times.count if times else 1,
        width=width,
        height=height,
        frames=frames,
        fps=fps,
        rotated=look.turned,
        changes=tuple(sorted(changes)),
    )


def _sound(source: MediaSource, facts: MediaFacts, file: BinaryIO) -> MediaFacts:
    rule = source.rule
    if rule.form == FRAMES:
        file.seek(array_file.HEADER_BYTES)
        samples = sounds.decode_sound(source, sounds.FLOATS, file)
        array_file.write_header(file, array_file.SAMPLES, (samples, rule.channels))
    else:
        file.seek(encoding.WAV_HEADER_BYTES)
        samples = sounds.decode_sound(source, sounds.WORDS, file)
        encoding.write_wav_header(file, rule.sample_rate, rule.channels, samples * rule.channels * 2)
    return msgspec.structs.replace(
        facts,
        source_ms=round(samples * 1000 / rule.sample_rate),
        samples=samples,
        sample_rate=rule.sample_rate,
        channels=rule.channels,
    )


_MAKERS: dict[MediaFormat, Callable[[MediaSource, MediaFacts, BinaryIO], MediaFacts]] = {
    MediaFormat.VIDEO: _video,
    MediaFormat.IMAGE: _image,
    MediaFormat.AUDIO: _sound,
}
