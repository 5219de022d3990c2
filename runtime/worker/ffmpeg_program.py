"""Where ffmpeg is: where the setting says, else in the wheel imageio-ffmpeg."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def ffmpeg_program(named: str) -> str:
    """Its path; empty: there is none. `named`: the setting."""
    if named:
        return named
    wheel = importlib.util.find_spec("imageio_ffmpeg")
    if wheel is None or wheel.origin is None:
        return ""
    found = sorted((Path(wheel.origin).parent / "binaries").glob("ffmpeg-*"))
    return str(found[-1]) if found else ""
