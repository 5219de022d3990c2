"""Videos and images: looked at, then decoded, turned, sized and put on the model's grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import BinaryIO

import msgspec

from runtime.media.claims import Container, MediaFormat
from runtime.media.confined_program import ConfinedProgram
from runtime.media.decoding import input_arguments, judge
from runtime.media.frame_notes import FrameLook, FrameNotes
from runtime.media.frame_times import FrameTimes
from runtime.media.limits import check_size
from runtime.media.media_source import MediaSource
from runtime.media.picture_size import SizePlan
from runtime.media.refused import MediaRefused

RGB, YUV = "rgb24", "yuv420p"
QUARTER_TURNS = (90, 270)
HD_ROWS = 720
"""From so many rows on, a picture that does not say its colours has those of HD (BT.709), and below them BT.601."""
WHITE_NITS = 203
"""Light of white in HDR (ITU-R BT.2408)."""


class FirstLook(msgspec.Struct, frozen=True):
    """What the first frame says."""

    frame: FrameLook
    turned: int
    """Degrees clockwise by which the picture is turned to stand upright."""
    is_bright: bool
    """Whether it is HDR."""
    space: str
    primaries: str
    is_animated: bool
    """Whether an image has a second frame."""
    is_transparent: bool
    """Whether anything behind it could be seen."""

    @property
    def upright(self) -> tuple[int, int]:
        size = self.frame.width, self.frame.height
        return (size[1], size[0]) if self.turned in QUARTER_TURNS else size

    @property
    def sample_aspect(self) -> Fraction:
        """Of the upright picture."""
        aspect = self.frame.sample_aspect
        return 1 / aspect if self.turned in QUARTER_TURNS else aspect


class Decoded(msgspec.Struct, frozen=True):
    """What came out of it."""

    frames: int
    """That were written."""
    times: FrameTimes
    """Of those that were decoded."""
    has_more: bool
    """Whether there would have been more to write."""


def first_look(source: MediaSource) -> FirstLook:
    """Decode one frame, or two where the question is whether there are two. MediaRefused, OSError."""
    notes, seen = FrameNotes(), list[FrameLook]()
    wanted = 2 if source.claims.container is Container.GIF else 1

    def take(line: bytes) -> None:
        if notes.take(line) and notes.frame is not None:
            seen.append(notes.frame)

    _run(
        source, notes, [f"{notes.name}=checksum=0"], ["-frames:v", str(wanted), "-f", "null", "-"], take, upright=False
    )
    if not seen:
        raise MediaRefused(f"the {source.wanted} has no frame that can be decoded", "no_frames")
    first = seen[0]
    check_size(first.width, first.height, source.wanted, source.rule)
    return FirstLook(
        first,
        notes.turned,
        notes.is_bright,
        notes.space,
        notes.primaries,
        source.wanted is MediaFormat.IMAGE and (len(seen) > 1 or (source.claims.of(source.wanted)[0].frames or 1) > 1),
        first.may_have_alpha and _can_be_seen_through(source),
    )


def _can_be_seen_through(source: MediaSource) -> bool:
    notes = FrameNotes()
    filters = ["format=gbrap", "alphaextract", "format=gray", f"{notes.name}=checksum=1"]
    _run(source, notes, filters, ["-frames:v", "1", "-f", "null", "-"], notes.take)
    return not notes.is_full


def decode(source: MediaSource, look: FirstLook, size: SizePlan, pixels: str, file: BinaryIO, most: int) -> Decoded:
    """Write at most so many frames of the wanted size to the file, one after another, in this form of pixels (RGB or
    YUV). MediaRefused, OSError."""
    notes, times = FrameNotes(), FrameTimes(source.rule, look.upright)
    frame_bytes = size.width * size.height * 3 // (1 if pixels == RGB else 2)
    received = 0

    def take(line: bytes) -> None:
        if notes.take(line) and notes.frame is not None:
            times.add(notes.frame)

    def write(data: bytes) -> None:
        nonlocal received
        file.write(data[: max(0, most * frame_bytes - received)])
        received += len(data)
        if received > (most + 1) * frame_bytes:
            raise MediaRefused(f"the {source.wanted} has more frames than the decoder was asked for", "too_long")

    is_video = source.wanted is MediaFormat.VIDEO
    grid = [f"fps=fps={source.rule.fps}:round=near", f"select=lt(n\\,{most + 1})"] if is_video else []
    filters = ["sidedata=mode=delete", f"{notes.name}=checksum=0", *grid, *_picture_filters(look, size, pixels)]
    ending = [*([] if is_video else ["-frames:v", "1"]), "-f", "rawvideo", "pipe:1"]
    _run(source, notes, filters, ending, take, write)
    frames = received // frame_bytes
    return Decoded(min(frames, most), times, frames > most)


def _run(
    source: MediaSource,
    notes: FrameNotes,
    filters: Sequence[str],
    ending: Sequence[str],
    take: Callable[[bytes], object],
    write: Callable[[bytes], None] | None = None,
    *,
    upright: bool = True,
) -> None:
    track = source.claims.of(source.wanted)[0]
    bounds = source.bounds.of(source.rule, track.width * track.height)
    arguments = input_arguments(source.claims, source.wanted, source.descriptor, source.rule, upright=upright)
    arguments += ["-filter:v", ",".join(filters), "-fps_mode", "passthrough", *ending]
    os.lseek(source.descriptor, 0, os.SEEK_SET)  # the program begins to read where the last one stopped
    program = ConfinedProgram(
        source.decoder,
        arguments,
        source.scratch,
        bounds,
        descriptors=(source.descriptor,),
        has_output=write is not None,
    )
    ended = program.run(write or (lambda _: None), take)
    judge(ended, notes.errors, bounds, source.wanted, notes.count)


def _picture_filters(look: FirstLook, size: SizePlan, pixels: str) -> list[str]:
    filters = []
    if look.is_transparent:
        filters += ["format=gbrap", "premultiply=inplace=1", "format=gbrp"]  # what can be seen through becomes black
    if look.is_bright:
        filters += _known_colours(look)
        filters += size.filters(look.upright, "")
        filters += [f"zscale=t=linear:npl={WHITE_NITS}", "format=gbrpf32le", "zscale=p=bt709", "tonemap=mobius:desat=0"]
        filters += ["zscale=t=bt709:m=bt709:r=tv", "format=yuv444p"]
        return [*filters, *(["format=rgb24"] if pixels == RGB else ["format=yuv420p"])]
    matrix = ""
    if look.space == "unknown":
        matrix = f":in_color_matrix={'bt709' if look.upright[1] >= HD_ROWS else 'bt601'}"
    if pixels == YUV:
        matrix += ":out_color_matrix=bt709:out_range=tv"
    return [*filters, *size.filters(look.upright, matrix), f"format={pixels}"]


def _known_colours(look: FirstLook) -> list[str]:
    """HDR that does not say its colours has those of BT.2020."""
    said = [
        *(["color_primaries=bt2020"] if look.primaries == "unknown" else []),
        *(["colorspace=bt2020nc"] if look.space == "unknown" else []),
    ]
    return ["setparams=" + ":".join(said)] if said else []
