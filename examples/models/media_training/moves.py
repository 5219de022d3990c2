"""The training data of `image-to-video`: tracks that begin anywhere from which their motion can be shown, and how
people might ask for them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from clips import DIRECTIONS, FRAMES, MOTIONS, SIDE, Combination
from wording import SHAPE_WORDS, _motion, describe

FloatArray = npt.NDArray[np.float64]
TRIES = 30


@dataclass(frozen=True)
class Move:
    """Where a thing begins, and how it goes on: pixels."""

    motion: str
    centre: FloatArray  # (FRAMES, 2)
    radius: FloatArray  # (FRAMES,)


def draw_move(rng: np.random.Generator, motion: str) -> Move:
    """A start, drawn evenly from where the motion has room, and one such motion from there."""
    while True:
        radius = rng.uniform(3.5, 7.0) if motion == "growing" else rng.uniform(7, 14) if motion == "shrinking" else (
            rng.uniform(4.5, 12)
        )  # fmt: skip
        margin = 1.2 * radius + 1
        start = rng.uniform(margin, SIDE - 1 - margin, 2)
        for _ in range(TRIES):
            move = _from(rng, motion, start, radius)
            room = 1.15 * move.radius[:, None] + 1
            if (move.centre >= room).all() and (move.centre <= SIDE - 1 - room).all():
                return move


def _from(rng: np.random.Generator, motion: str, start: FloatArray, radius: float) -> Move:
    part = np.linspace(0, 1, FRAMES)
    centre, radii = np.tile(start, (FRAMES, 1)), np.full(FRAMES, radius)
    if motion in DIRECTIONS:
        step = np.array(DIRECTIONS[motion], np.float64)
        centre = centre + part[:, None] * step * rng.uniform(18, 45)
    elif motion == "growing":
        radii = radius * (1 + part * rng.uniform(0.9, 2.2))
    elif motion == "shrinking":
        radii = radius + part * (max(3.3, radius * rng.uniform(0.32, 0.55)) - radius)
    elif motion == "bouncing":
        height, phase = rng.uniform(18, 36), rng.uniform(0, 1)
        inside = (part * (FRAMES - 1) / rng.uniform(9, 13) + phase) % 1
        centre[:, 1] = start[1] + height * 4 * (phase * (1 - phase) - inside * (1 - inside))
    elif motion == "circling":
        angle = rng.uniform(0, 2 * np.pi) + rng.choice([-1, 1]) * rng.uniform(1.0, 1.3) * 2 * np.pi * part
        turn = rng.uniform(9, 17)
        around = np.stack([np.cos(angle), np.sin(angle)], 1)
        centre = start + turn * (around - around[0])
    return Move(motion, centre, radii)


def draw_moves(seed: int, count: int) -> list[Move]:
    rng = np.random.default_rng(seed)
    return [draw_move(rng, MOTIONS[rng.integers(len(MOTIONS))]) for _ in range(count)]


def ask(rng: random.Random, shown: Combination, motion: str) -> str:
    """One wording of the request. `shown` is what the picture shows; its own motion is not used."""
    asked = Combination(shown.shape, shown.colour, motion, shown.background)
    kind = rng.random()
    if kind < 0.4:
        return describe(rng, asked, None, complete=True)
    words = _motion(rng, motion)
    thing = rng.choice(("it", "it", "the thing", f"the {rng.choice(SHAPE_WORDS[shown.shape])}", "this", "make it"))
    if kind < 0.75:
        return f"{thing} {words}"
    return rng.choice((words, words, f"animate it {words}", f"{words}, please"))
