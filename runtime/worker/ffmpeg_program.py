"""Where ffmpeg is: $HEADRACE_FFMPEG, else the one that the wheel imageio-ffmpeg holds."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def ffmpeg_program() -> str:
    """Its path; empty: there is none."""
    named = os.environ.get("HEADRACE_FFMPEG", "")
    if named:
        return named
    spec = importlib.util.find_spec("imageio_ffmpeg")
    if spec is None or spec.origin is None:
        return ""
    found = sorted((Path(spec.origin).parent / "binaries").glob("ffmpeg-*"))
    return str(found[0]) if found else ""
