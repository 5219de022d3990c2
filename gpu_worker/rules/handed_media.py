"""What an attempt hands over to be encoded, and what is made of it. Pure.

The child says it (child/made_media.py, which holds authors to the same limits), and is not believed: the node asks
`fault_of` before an encoder is told anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contract.results import is_output_name

VIDEO, IMAGE = "video", "image"
SUFFIXES = {VIDEO: (".mp4",), IMAGE: (".png", ".jpg")}
POSTER, THUMBNAIL = ".poster.jpg", ".thumb.jpg"
DERIVED = {VIDEO: (POSTER, THUMBNAIL), IMAGE: (THUMBNAIL,)}
"""By kind: what is made beside a file, named by the file's name without its suffix."""
MEDIA_MAX = 32
"""Of one attempt."""
SIDE_MIN, SIDE_MAX, PIXELS_MAX = 16, 8_192, 36_000_000
"""Of a picture. An image may have sides from 1 pixel on."""
FRAMES_MAX = 100_000
FPS_MAX = 240
RATE_DENOMINATOR_MAX = 1_001
CHANNELS = 3


class HandedMedia(msgspec.Struct, frozen=True):
    """A video or an image, as bytes of RGB in a file: frame after frame, rows from the top."""

    kind: str
    name: str
    """Of the output that is to be made."""
    width: int
    height: int
    frames: int
    rate: int
    """Frames in `per` seconds."""
    per: int

    @property
    def raw_bytes(self) -> int:
        return self.frames * self.pixels * CHANNELS

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def names(self) -> tuple[str, ...]:
        """The files that are made, the output first."""
        stem = self.name.rpartition(".")[0]
        return (self.name, *(stem + derived for derived in DERIVED[self.kind]))


def raw_name(number: int) -> str:
    """The file with the bytes of an attempt's medium of this number. No output of a model can have this name."""
    return f"_{number}.rgb"


def fault_of(media: Sequence[HandedMedia], outputs: Sequence[str], bytes_max: int) -> str:
    """Why an attempt with these outputs may not hand this over, as `expected …, found …`. Empty: it may."""
    if len(media) > MEDIA_MAX:
        return f"expected at most {MEDIA_MAX} videos and images, found {len(media)}"
    for number, one in enumerate(media):
        fault = _fault_of_one(one)
        if fault:
            return f"medium {number}: {fault}"
    names = [*outputs, *(name for one in media for name in one.names)]
    if len(set(names)) < len(names):
        return "expected outputs of different names, found a name twice"
    if sum(one.raw_bytes for one in media) > bytes_max:
        return f"expected pictures of at most {bytes_max} bytes, found more"
    return ""


def _fault_of_one(one: HandedMedia) -> str:
    if one.kind not in SUFFIXES:
        return f"expected one of {', '.join(SUFFIXES)} as kind, found another"
    if not one.name.endswith(SUFFIXES[one.kind]) or not all(map(is_output_name, one.names)):
        return f"expected a name of an output that ends in {' or '.join(SUFFIXES[one.kind])}, found another"
    least = SIDE_MIN if one.kind == VIDEO else 1
    if not (least <= one.width <= SIDE_MAX and least <= one.height <= SIDE_MAX) or one.pixels > PIXELS_MAX:
        return f"expected sides of {least} to {SIDE_MAX} pixels and at most {PIXELS_MAX} in all, found others"
    if one.kind == VIDEO and (one.width % 2 or one.height % 2):
        return f"expected even sides, found {one.width} x {one.height}"
    if not 1 <= one.frames <= (FRAMES_MAX if one.kind == VIDEO else 1):
        return f"expected 1 to {FRAMES_MAX} frames, and one of an image, found {one.frames}"
    if not (0 < one.per <= RATE_DENOMINATOR_MAX and 0 < one.rate <= FPS_MAX * one.per):
        return f"expected above 0 and at most {FPS_MAX} frames a second, found {one.rate} in {one.per} s"
    return ""
