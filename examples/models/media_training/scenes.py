"""The training pictures of `upscale`: random layers of forms, lines, gradients and stripes.

Edges are smoothed over one pixel.

They show none of the clips of `clips.py`, on which the model is tested.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
LAYERS = 6


def draw_scenes(rng: np.random.Generator, count: int, side: int) -> FloatArray:
    """(count, side, side, 3) in 0..1."""
    rows, columns = np.indices((side, side), np.float32)
    pictures = np.empty((count, side, side, 3), np.float32)
    for number in range(count):
        picture = _paint(rng, rows, columns, side)
        for _ in range(rng.integers(1, LAYERS + 1)):
            covered = np.clip(0.5 - _depth(rng, rows, columns, side), 0, 1)[..., None]
            picture = picture + covered * (_paint(rng, rows, columns, side) - picture)
        pictures[number] = np.clip(picture, 0, 1)
    return pictures


def _paint(rng: np.random.Generator, rows: FloatArray, columns: FloatArray, side: int) -> FloatArray:
    """One colour, a gradient between two, or stripes of two."""
    first, second = rng.random((2, 3), np.float32)
    kind = rng.random()
    if kind < 0.5:
        return np.broadcast_to(first, (side, side, 3))
    angle = rng.uniform(0, 2 * np.pi)
    along = rows * np.float32(np.sin(angle)) + columns * np.float32(np.cos(angle))
    if kind < 0.85:
        part = np.clip(along / side * rng.uniform(0.3, 1.5) + rng.uniform(-0.5, 0.5), 0, 1)
    else:
        part = 0.5 + 0.5 * np.sin(along * rng.uniform(0.15, 0.9) + rng.uniform(0, 6))
    return first + part[..., None].astype(np.float32) * (second - first)


def _depth(rng: np.random.Generator, rows: FloatArray, columns: FloatArray, side: int) -> FloatArray:
    """Signed distance in pixels to the outline of a random form; negative inside."""
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.04, 0.45) * side
    x, y = columns - rng.uniform(0, side), rows - rng.uniform(0, side)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = x * cosine + y * sine, y * cosine - x * sine
    kind = rng.integers(5)
    length = np.sqrt(x * x + y * y)
    if kind == 0:
        depth = length - radius
    elif kind == 1:
        depth = np.abs(length - radius) - rng.uniform(0.5, 0.4 * radius + 0.6)
    elif kind == 2:  # a box, or a line
        depth = np.maximum(np.abs(x) - radius, np.abs(y) - radius * rng.uniform(0.03, 1))
    else:  # a polygon or a star: straight edges, folded round the middle
        corners = int(rng.integers(3, 8))
        sector = 2 * np.pi / corners
        folded = np.abs((np.arctan2(y, x) + sector / 2) % sector - sector / 2)
        along, across = length * np.cos(folded), length * np.sin(folded)
        if kind == 3:
            depth = along - radius * np.cos(sector / 2)
        else:
            notch = rng.uniform(0.35, 0.75)
            inner = radius * notch * np.array([np.cos(sector / 2), np.sin(sector / 2)])
            edge = np.array([inner[1], radius - inner[0]])
            edge /= np.hypot(*edge)
            depth = (along - radius) * edge[0] + across * edge[1]
    return np.asarray(depth, np.float32)
