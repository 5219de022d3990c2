"""Which program decodes and encodes media here: found, asked for its version, held against what Headrace needs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import msgspec

WHEEL = "imageio_ffmpeg"
FLOOR = 60
"""libavformat of FFmpeg 6.0, the first that reads from a descriptor (protocol `fd`)."""
LOOKED_AT = 63
"""libavformat of n9.0.2-17, the build that the lock pins. Whoever raises the lock looks at FFmpeg's list of advisories,
and raises this. An older one works, and may lack fixes."""
PARTS = {"libx264": "writes videos", "libzimg": "turns HDR into SDR", "libdav1d": "reads AV1"}
"""What the program must have been built with."""
WITHIN_S = 20.0

_VERSION = re.compile(r"^ffmpeg version (\S{1,80})", re.MULTILINE)
_FORMAT = re.compile(r"^libavformat\s+(\d+)\.", re.MULTILINE)


class DecoderUnusable(OSError):
    """There is no such program here, or none that can do the work. Whoever runs this node must act; no file is at
    fault."""


class DecoderProgram(msgspec.Struct, frozen=True):
    path: str
    version: str
    """As the program says it; the wheel's ends in the date of the build."""
    formats: int
    """The major version of libavformat."""
    licence: str
    missing: tuple[str, ...]
    """Of PARTS."""

    @property
    def is_usable(self) -> bool:
        return self.formats >= FLOOR and not self.missing

    @property
    def is_old(self) -> bool:
        """Whether a newer one was there when Headrace was made."""
        return self.formats < LOOKED_AT

    @property
    def said(self) -> str:
        return f"FFmpeg {self.version}, {self.licence}, {self.path}"

    @property
    def fault(self) -> str:
        """Why it cannot be used; empty: it can."""
        if self.formats < FLOOR:
            return f"expected FFmpeg 6.0 or newer, found {self.version}"
        if self.missing:
            wanted = ", ".join(f"{part} ({PARTS[part]})" for part in self.missing)
            return f"expected a build with {wanted}, found none of that in {self.version}"
        return ""


def find_program(named: str) -> Path:
    """That which the setting names, else the wheel's. DecoderUnusable."""
    if named:
        path = Path(named)
        if not path.is_file():
            raise DecoderUnusable("HEADRACE_FFMPEG: expected the path of a program, found no file there")
        return path.resolve()
    wheel = importlib.util.find_spec(WHEEL)
    place = Path(wheel.origin).parent / "binaries" if wheel is not None and wheel.origin else Path("/nowhere")
    found = sorted(place.glob("ffmpeg-*"))
    if not found:
        raise DecoderUnusable(
            "expected the program FFmpeg in the wheel imageio-ffmpeg, found none: install it, or set HEADRACE_FFMPEG"
        )
    return found[-1].resolve()


def look_at(path: Path) -> DecoderProgram:
    """What the program says of itself. DecoderUnusable."""
    try:
        done = subprocess.run(
            [str(path), "-hide_banner", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WITHIN_S,
            check=True,
            env={},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DecoderUnusable(
            f"expected FFmpeg at {path}, found that it does not start ({type(error).__name__})"
        ) from None
    return said_of(str(path), done.stdout.decode(errors="replace"))


def said_of(path: str, text: str) -> DecoderProgram:
    """`text`: what `ffmpeg -version` printed. DecoderUnusable."""
    version, formats = _VERSION.search(text), _FORMAT.search(text)
    if version is None or formats is None:
        raise DecoderUnusable(f"expected FFmpeg at {path}, found another program")
    missing = tuple(part for part in PARTS if f"--enable-{part}" not in text)
    return DecoderProgram(path, version[1], int(formats[1]), _licence(text), missing)


def _licence(text: str) -> str:
    if "--enable-nonfree" in text:
        return "not to be handed on (nonfree)"
    third = "--enable-version3" in text
    if "--enable-gpl" in text:
        return f"GPL {3 if third else 2}"
    return f"LGPL {'3' if third else '2.1'}"
