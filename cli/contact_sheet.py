"""One picture of several videos: each video is a row of frames from left to right, with its words above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

FRAMES = 8
EDGE_PX = 96
GAP_PX = 6
CAPTION_PX = 16


def draw(videos: Sequence[tuple[Path, str]], to: Path) -> None:
    """Writes a PNG with FRAMES evenly spaced frames of each (video, caption)."""
    from PIL import Image, ImageDraw

    row_px = EDGE_PX + CAPTION_PX + GAP_PX
    width = FRAMES * (EDGE_PX + GAP_PX) + GAP_PX
    sheet = Image.new("RGB", (width, row_px * len(videos) + GAP_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (video, caption) in enumerate(videos):
        top = GAP_PX + row * row_px
        pen.text((GAP_PX, top), caption, fill="black")
        frames = _frames(video)
        for column in range(FRAMES):
            frame = frames[column * (len(frames) - 1) // (FRAMES - 1)].resize((EDGE_PX, EDGE_PX))
            sheet.paste(frame, (GAP_PX + column * (EDGE_PX + GAP_PX), top + CAPTION_PX))
    sheet.save(to)


def _frames(video: Path) -> list[Any]:
    import av

    with av.open(str(video)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]
