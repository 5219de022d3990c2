"""The letters AI, drawn over a corner of a generated picture where the policy wants that seen. Pure."""

from __future__ import annotations

from typing import NamedTuple

LETTERS = (
    ".###..###",
    "#...#..#.",
    "#...#..#.",
    "#####..#.",
    "#...#..#.",
    "#...#..#.",
    "#...#.###",
)
INK, GROUND = b"\xff\xff\xff\xe0", b"\x00\x00\x00\x90"
"""Red, green, blue, opacity: white on a dark ground can be read on any picture."""
PART_OF_HEIGHT = 20
"""The label is about so small a part of the picture's shorter side."""


FILE = "_label.rgba"
"""The encoder finds the label there. No output of a model can have this name."""


class Label(NamedTuple):
    width: int
    height: int
    margin: int
    """Pixels to the picture's edges."""
    data: bytes
    """RGBA, rows from the top."""


def label(width: int, height: int) -> Label | None:
    """For a picture of this size. None: the picture is too small for letters that can be read."""
    rows = [f".{'.' * len(LETTERS[0])}.", *(f".{row}." for row in LETTERS), f".{'.' * len(LETTERS[0])}."]
    dot = max(1, min(width, height) // PART_OF_HEIGHT // len(LETTERS))
    data = b"".join(
        b"".join((INK if point == "#" else GROUND) * dot for point in row) * dot  # a row of dots is `dot` rows high
        for row in rows
    )
    found = Label(len(rows[0]) * dot, len(rows) * dot, 2 * dot, data)
    fits = found.width + 2 * found.margin <= width and found.height + 2 * found.margin <= height
    return found if fits else None
