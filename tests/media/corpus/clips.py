"""Clips that ffmpeg draws and encodes: the same bytes each time from the same binary."""

from __future__ import annotations

import subprocess
from pathlib import Path

EXACT = ("-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1", "-threads", "1")
QUIET = {"SVT_LOG": "0"}
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SHORT = "testsrc2=s=160x120:r=24:d=2"


class Ffmpeg:
    """One binary, and a folder for what it writes."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.drawn: dict[tuple[str, ...], bytes] = {}

    def clip(self, *arguments: str, suffix: str = "mp4", source: bytes | None = None) -> bytes:
        """What `ffmpeg arguments… out.SUFFIX` writes; `source` is its standard input. CalledProcessError."""
        key = (suffix, *arguments)
        if source is None and key in self.drawn:
            return self.drawn[key]
        out = self.folder / f"out.{suffix}"
        command = [str(self.program), "-nostdin", "-hide_banner", "-v", "error", "-y"]
        if source is not None:
            command.remove("-nostdin")
        subprocess.run([*command, *arguments, *EXACT, str(out)], input=source, check=True, timeout=60, env=QUIET)
        made = out.read_bytes()
        out.unlink()
        if source is None:
            self.drawn[key] = made
        return made

    def video(self, *arguments: str, draw: str = SHORT, suffix: str = "mp4") -> bytes:
        """A drawn clip in H.264, header first; `arguments` come after the codec's and win."""
        first = ("-movflags", "+faststart") if suffix in ("mp4", "mov") else ()
        return self.clip("-f", "lavfi", "-i", draw, *H264, *first, *arguments, suffix=suffix)

    def stream(self, draw: str, *arguments: str) -> bytes:
        """A bare H.264 stream, parameter sets before each key frame."""
        return self.clip("-f", "lavfi", "-i", draw, *H264, *arguments, "-f", "h264", suffix="h264")

    def wrapped(self, stream: bytes, rate: int = 24, suffix: str = "mp4") -> bytes:
        """A bare stream in a container, not encoded again."""
        flags = ("-movflags", "+faststart") if suffix == "mp4" else ()
        source = ("-r", str(rate), "-f", "h264", "-i", "pipe:0")
        return self.clip(*source, "-c", "copy", *flags, suffix=suffix, source=stream)
