"""The training data: short clips of one moving shape, drawn by numpy, nothing downloaded.

A clip is 24 frames of 64 x 64 pixels. What it shows is a *combination* (shape, colour, motion, background). Place,
size, distance and pace are drawn at random, so one combination has endlessly many clips. Combinations whose hash falls
in one bucket of eight are held out: no clip of them is ever drawn for training.

Coordinates are pixels, x to the right, y down. Colours are 0..255 in `PALETTE`, -1..1 in frames.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

FRAMES = 24
SIDE = 64
HELD_OUT_BUCKETS = 8

SHAPES = ("ball", "square", "triangle", "diamond", "ring", "star")
PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (225, 40, 40),
    "orange": (255, 140, 0),
    "yellow": (255, 225, 30),
    "green": (40, 190, 70),
    "cyan": (30, 210, 220),
    "blue": (40, 90, 255),
    "purple": (140, 50, 210),
    "pink": (255, 105, 190),
    "white": (245, 245, 245),
}
COLOURS = tuple(PALETTE)
# Name to (colour at the top row, colour at the bottom row).
BACKGROUNDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "black": ((8, 8, 8), (8, 8, 8)),
    "white": ((235, 235, 235), (235, 235, 235)),
    "grey": ((110, 110, 110), (110, 110, 110)),
    "navy": ((14, 20, 70), (14, 20, 70)),
    "green": ((20, 85, 40), (20, 85, 40)),
    "sky": ((70, 130, 200), (175, 215, 240)),
}
# Step in (x, y) of the straight motions.
DIRECTIONS: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up-left": (-1, -1),
    "up-right": (1, -1),
    "down-left": (-1, 1),
    "down-right": (1, 1),
}
MOTIONS = (*DIRECTIONS, "still", "bouncing", "circling", "growing", "shrinking")
# Radius in pixels, smallest and largest, for each size word.
SIZES: dict[str, tuple[float, float]] = {"small": (5.0, 6.5), "medium": (7.5, 9.0), "large": (10.0, 12.0)}

# Pairs (colour, background) that a person could hardly see: they are neither drawn nor tested.
INVISIBLE = {
    ("white", "white"),
    ("green", "green"),
    ("cyan", "sky"),
    ("white", "sky"),
    ("blue", "navy"),
    ("blue", "sky"),
}


@dataclass(frozen=True)
class Combination:
    """What a prompt can ask for, apart from the size."""

    shape: str
    colour: str
    motion: str
    background: str

    @property
    def key(self) -> str:
        return f"{self.shape}|{self.colour}|{self.motion}|{self.background}"

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.key.encode()).digest()

    @property
    def held_out(self) -> bool:
        """True when the first byte of sha256("shape|colour|motion|background") is a multiple of 8."""
        return self.digest[0] % HELD_OUT_BUCKETS == 0


def all_combinations() -> list[Combination]:
    """Every combination that can be seen, in a fixed order."""
    return [
        Combination(shape, colour, motion, background)
        for shape in SHAPES
        for colour in COLOURS
        for motion in MOTIONS
        for background in BACKGROUNDS
        if (colour, background) not in INVISIBLE
    ]


def split() -> tuple[list[Combination], list[Combination]]:
    """(training, held out). The held-out combinations are in the order of their hashes, which is as good as random."""
    everything = all_combinations()
    training = [one for one in everything if not one.held_out]
    held_out = sorted((one for one in everything if one.held_out), key=lambda one: one.digest)
    return training, held_out


@dataclass(frozen=True)
class Clips:
    """A batch of n clips before they are drawn."""

    combinations: list[Combination]
    sizes: list[str]
    shape: npt.NDArray[np.int64]  # (n,) index into SHAPES
    colour: FloatArray  # (n, 3), -1..1
    top: FloatArray  # (n, 3) background at the top row
    bottom: FloatArray  # (n, 3) background at the bottom row
    centre: FloatArray  # (n, FRAMES, 2) pixels, x then y
    radius: FloatArray  # (n, FRAMES) pixels


def plan(rng: np.random.Generator, combinations: list[Combination]) -> Clips:
    """Choose place, size, distance and pace for each combination."""
    count = len(combinations)
    sizes = [("small", "medium", "large")[index] for index in rng.integers(0, 3, count)]
    centre = np.empty((count, FRAMES, 2), np.float32)
    radius = np.empty((count, FRAMES), np.float32)
    for row, (one, size) in enumerate(zip(combinations, sizes, strict=True)):
        centre[row], radius[row] = _path(rng, one.motion, rng.uniform(*SIZES[size]))
    jitter = rng.uniform(-6, 6, (count, 3))
    colour = np.array([PALETTE[one.colour] for one in combinations]) + jitter
    grounds = np.array([BACKGROUNDS[one.background] for one in combinations], np.float64)
    grounds += rng.uniform(-5, 5, (count, 1, 1))
    scaled = np.clip(grounds, 0, 255).astype(np.float32) / 127.5 - 1
    return Clips(
        combinations=combinations,
        sizes=sizes,
        shape=np.array([SHAPES.index(one.shape) for one in combinations]),
        colour=np.clip(colour, 0, 255).astype(np.float32) / 127.5 - 1,
        top=scaled[:, 0],
        bottom=scaled[:, 1],
        centre=centre,
        radius=radius,
    )


def _path(rng: np.random.Generator, motion: str, radius: float) -> tuple[FloatArray, FloatArray]:
    """Centres (FRAMES, 2) and radii (FRAMES,) in pixels of one clip; the shape stays inside the picture."""
    part = np.linspace(0, 1, FRAMES, dtype=np.float32)
    radii = np.full(FRAMES, radius, np.float32)
    margin = 1.2 * radius + 1
    low, high = margin, SIDE - 1 - margin
    if motion in DIRECTIONS:
        step = np.array(DIRECTIONS[motion], np.float32)
        travel = rng.uniform(20, high - low) * np.abs(step)
        first = np.where(step >= 0, rng.uniform(low, high - travel), rng.uniform(low + travel, high))
        return (first + part[:, None] * travel * step).astype(np.float32), radii
    if motion in ("growing", "shrinking"):
        radii = rng.uniform(3.5, 5.0) + part * rng.uniform(7.0, 10.0)
        place = rng.uniform(20, SIDE - 20, 2)
        return np.tile(place, (FRAMES, 1)), radii if motion == "growing" else radii[::-1]
    if motion == "bouncing":
        height = rng.uniform(18, min(36, high - low))
        beat = part * (FRAMES - 1) / rng.uniform(9, 13) + rng.uniform(0, 1)
        inside = beat % 1
        y = high - height * 4 * inside * (1 - inside)
        return np.stack([np.full(FRAMES, rng.uniform(low, high)), y], 1), radii
    if motion == "circling":
        turn = rng.uniform(9, min(17, (high - low) / 2))
        angle = rng.uniform(0, 2 * np.pi) + rng.choice([-1, 1]) * rng.uniform(1.0, 1.3) * 2 * np.pi * part
        middle = rng.uniform(low + turn, high - turn, 2)
        return middle + turn * np.stack([np.cos(angle), np.sin(angle)], 1), radii
    return np.tile(rng.uniform(low, high, 2), (FRAMES, 1)), radii


def draw(clips: Clips, frames: npt.NDArray[np.int64], lines: npt.NDArray[np.int64] | None = None) -> FloatArray:
    """Draw the wanted frames of each clip, edges smoothed over one pixel.

    `frames` is (n, k), frame numbers; `lines` is (n, k, 2, count), the columns and rows to draw, by default all.
    Returns (n, k, rows, columns, 3) in -1..1.
    """
    count, wanted = frames.shape
    if lines is None:
        lines = np.broadcast_to(np.arange(SIDE), (count, wanted, 2, SIDE))
    length = lines.shape[3]
    which = np.arange(count)[:, None]
    centre, radius = clips.centre[which, frames], clips.radius[which, frames]
    relative = (lines - centre[..., None]) / radius[..., None, None]
    x = relative[:, :, 0].reshape(-1, 1, length).astype(np.float32)
    y = relative[:, :, 1].reshape(-1, length, 1).astype(np.float32)
    radius, kinds = radius.reshape(-1, 1, 1), np.repeat(clips.shape, wanted)
    coverage = np.empty((count * wanted, length, length), np.float32)
    for index, name in enumerate(SHAPES):
        chosen = np.flatnonzero(kinds == index)
        if len(chosen):
            coverage[chosen] = np.clip(0.5 - _distance(name, x[chosen], y[chosen]) * radius[chosen], 0, 1)
    coverage = coverage.reshape(count, wanted, length, length, 1)
    shade = (lines[:, :, 1, :, None] / (SIDE - 1)).astype(np.float32)
    top, bottom, colour = (part[:, None, None] for part in (clips.top, clips.bottom, clips.colour))
    ground = (top + shade * (bottom - top))[:, :, :, None]  # by row
    return ground + coverage * (colour[:, None] - ground)


def _distance(shape: str, x: FloatArray, y: FloatArray) -> FloatArray:
    """Signed distance, about, to the outline of a shape of radius 1; negative inside. x (m, 1, S), y (m, S, 1)."""
    if shape == "ball":
        return np.sqrt(x * x + y * y) - 1
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.86
    if shape == "diamond":
        return (np.abs(x) * 1.15 + np.abs(y) * 0.9 - 1.05) / 1.46
    if shape == "triangle":
        return np.maximum(y - 0.75, (np.abs(x) * 1.732 - y) / 2 - 0.55)
    if shape == "ring":
        return np.abs(np.sqrt(x * x + y * y) - 0.78) - 0.27
    # Star: fold the plane into half of one of five points, then one straight edge from tip to notch.
    sector = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + sector / 2) % sector - sector / 2)
    length = np.sqrt(x * x + y * y)
    along, across = length * np.cos(angle), length * np.sin(angle)
    tip, notch = 1.25, (0.58 * np.cos(sector / 2), 0.58 * np.sin(sector / 2))
    edge = np.array([notch[1], tip - notch[0]]) / np.hypot(notch[1], tip - notch[0])
    return ((along - tip) * edge[0] + across * edge[1]).astype(np.float32)
