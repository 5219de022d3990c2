"""What the program's filter `showinfo` says of each frame, as soon as it is decoded: the truth about a video.

The filter has a name that was drawn for this run, and the program begins each of the filter's lines with that name, so
no text out of a file passes for one.
"""

from __future__ import annotations

import re
import secrets
from fractions import Fraction

import msgspec

ERRORS_KEPT = 64
_BRIGHT = ("smpte2084", "arib-std-b67")
"""Transfers of HDR: PQ and HLG."""
_DEPTH = re.compile(r"(?:p|gray|ya)(?:9|10|12|14|16)(?:le|be)?$|^(?:rgb|bgr)48|^(?:rgba|bgra)64|f(?:16|32)(?:le|be)$")
_ALPHA = re.compile(r"^(?:rgba|bgra|argb|abgr|gbrap|yuva|ya|pal8)")


class FrameLook(msgspec.Struct, frozen=True):
    """One frame as decoded, before it is turned."""

    width: int
    height: int
    sample_aspect: Fraction
    pixels: str
    """FFmpeg's word for the form of its pixels."""
    time_s: float | None
    duration_s: float

    @property
    def has_depth(self) -> bool:
        """Whether a colour has more than eight bits."""
        return _DEPTH.search(self.pixels) is not None

    @property
    def may_have_alpha(self) -> bool:
        return _ALPHA.match(self.pixels) is not None


class FrameNotes:
    """Takes the program's lines. `frame` is the newest."""

    def __init__(self) -> None:
        self.name = f"showinfo@{secrets.token_hex(6)}"
        """Of the filter, in the graph of filters."""
        start = re.escape(f"[{self.name} @ 0x").encode() + rb"[0-9a-f]+\] \[info\] "
        self._frame = re.compile(
            start + rb"n: *\d+ pts: *\S+ pts_time:(\S+) +duration: *\S+ duration_time:(\S+) +fmt:(\S+) .*?"
            rb"sar:(\d+)/(\d+) s:(\d+)x(\d+) "
        )
        self._colours = re.compile(start + rb"color_range:\S+ color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
        self._values = re.compile(rb" mean:\[(\d+) *\] stdev:\[(\d+\.\d+) *\]")
        self._turn = re.compile(start + rb" +side data - .*rotation of (-?\d+\.\d+) degrees")
        self.count = 0
        self.frame: FrameLook | None = None
        self.space = self.primaries = self.transfer = "unknown"
        self.turned = 0
        """Degrees clockwise by which the picture is to be turned."""
        self.is_full = True
        """Whether the one plane of the frame is full, where the filter was told to say so."""
        self.errors: list[bytes] = []
        """What the program called an error: for our own look only."""

    @property
    def is_bright(self) -> bool:
        return self.transfer in _BRIGHT

    def take(self, line: bytes) -> bool:
        """Whether the line tells of one more frame."""
        if found := self._frame.match(line):
            self.frame = _look(found)
            self.count += 1
            if values := self._values.search(line):
                self.is_full = int(values[1]) == 255 and float(values[2]) == 0.0
            return True
        if found := self._colours.match(line):
            self.space, self.primaries, self.transfer = (word.decode("ascii", "replace") for word in found.groups())
        elif found := self._turn.match(line):
            self.turned = round(-float(found[1])) % 360
        elif (b"[error]" in line or b"[fatal]" in line) and len(self.errors) < ERRORS_KEPT:
            self.errors.append(line)
        return False


def _look(found: re.Match[bytes]) -> FrameLook:
    time, duration, pixels, across, down, width, height = found.groups()
    aspect = Fraction(int(across), int(down)) if int(across) and int(down) else Fraction(1)
    return FrameLook(
        int(width), int(height), aspect, pixels.decode("ascii", "replace"), _number(time), _number(duration) or 0.0
    )


def _number(raw: bytes) -> float | None:
    try:
        return float(raw)
    except ValueError:
        return None  # NOPTS: the file does not say
