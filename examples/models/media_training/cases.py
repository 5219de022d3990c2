"""The cases on which the models are tested, and the seed that draws them.

A seed is drawn by the machine when the weights are finished, and written to seeds.jsonl with their sha256. Weights have
one seed: drawing again is refused.
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from clips import COLOURS, FRAMES, MOTIONS, SHAPES, SIDE, Clips, Combination, draw, plan, split
from edits import Edit, other, visible
from edits import ask as ask_edit
from moves import ask as ask_move
from moves import draw_move

HERE = Path(__file__).resolve().parent
SEEDS = HERE / "seeds.jsonl"
CASES = 100


def seed_of(model: str, weights: Path) -> int:
    """The seed of these weights' cases; drawn and written down when they have none."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    lines = SEEDS.read_text(encoding="utf-8").splitlines() if SEEDS.exists() else []
    for line in lines:
        one = json.loads(line)
        if one["model"] == model and one["weights_sha256"] == digest:
            return int(one["seed"])
    written = datetime.fromtimestamp(weights.stat().st_mtime, UTC).isoformat(timespec="seconds")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    one = {"model": model, "seed": secrets.randbelow(10**9), "chosen_at": now, "weights_written_at": written,
           "weights_sha256": digest}  # fmt: skip
    with SEEDS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(one) + "\n")
    return int(one["seed"])


def in_bytes(pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip((pictures + 1) * 127.5, 0, 255).round().astype(np.uint8)


@dataclass(frozen=True)
class ModifyCase:
    """A source clip of 24 frames, 64 x 64, and what is asked for."""

    source: npt.NDArray[np.uint8]
    edit: Edit
    prompt: str
    seed: int


def modify_cases(seed: int, combinations: list[Combination], count: int = CASES) -> list[ModifyCase]:
    """A third each asks for a colour, a shape, and both."""
    rng, words_rng = np.random.default_rng(seed), random.Random(seed)
    edits = []
    for number in range(count):
        source = combinations[rng.integers(len(combinations))]
        named = (("colour",), ("shape",), ("shape", "colour"))[number % 3]
        while True:
            result = source
            if "colour" in named:
                result = replace(result, colour=other(words_rng, COLOURS, source.colour))
            if "shape" in named:
                result = replace(result, shape=other(words_rng, SHAPES, source.shape))
            if visible(result):
                break
        edits.append(Edit(source, result, named))
    clips = plan(rng, [one.source for one in edits])
    pictures = in_bytes(draw(clips, np.tile(np.arange(FRAMES), (count, 1))))
    return [
        ModifyCase(picture, edit, ask_edit(words_rng, edit), int(rng.integers(2**31)))
        for picture, edit in zip(pictures, edits, strict=True)
    ]


@dataclass(frozen=True)
class AnimateCase:
    """A picture, 64 x 64, and what is asked for."""

    picture: npt.NDArray[np.uint8]
    shown: Combination
    motion: str
    prompt: str
    seed: int


def animate_cases(seed: int, combinations: list[Combination], count: int = CASES) -> list[AnimateCase]:
    """The motions in turn, each from a place that has room for it."""
    rng, words_rng = np.random.default_rng(seed), random.Random(seed)
    motions = [MOTIONS[number % len(MOTIONS)] for number in range(count)]
    shown = [combinations[rng.integers(len(combinations))] for _ in range(count)]
    moves = [draw_move(rng, motion) for motion in motions]
    clips = replace(
        plan(rng, shown),
        centre=np.stack([one.centre for one in moves]).astype(np.float32),
        radius=np.stack([one.radius for one in moves]).astype(np.float32),
    )
    pictures = in_bytes(draw(clips, np.zeros((count, 1), np.int64)))[:, 0]
    return [
        AnimateCase(picture, one, motion, ask_move(words_rng, one, motion), int(rng.integers(2**31)))
        for picture, one, motion in zip(pictures, shown, motions, strict=True)
    ]


def large_clips(seed: int, combinations: list[Combination], larger: int, count: int = CASES) -> npt.NDArray[np.uint8]:
    """Clips (count, 6, side, side, 3) of side SIDE * larger: six frames of each, drawn at that size."""
    rng = np.random.default_rng(seed)
    clips = plan(rng, [combinations[rng.integers(len(combinations))] for _ in range(count)])
    side = SIDE * larger
    # `draw` shades from row 0 to row SIDE - 1. The bottom colour is told so that row SIDE * larger - 1 gets it.
    bottom = clips.top + (clips.bottom - clips.top) * ((SIDE - 1) / (side - 1))
    scaled: Clips = replace(
        clips, centre=(clips.centre + 0.5) * larger - 0.5, radius=clips.radius * larger, bottom=bottom
    )
    lines = np.broadcast_to(np.arange(side), (count, 1, 2, side))
    moments = np.sort(rng.integers(0, FRAMES, (count, 6)), 1)
    return np.stack([in_bytes(draw(scaled, moments[:, at : at + 1], lines))[:, 0] for at in range(6)], 1)


def development() -> list[Combination]:
    """Combinations for looking at a model while it is made: those that it was trained on."""
    return split()[0]


def held_out() -> list[Combination]:
    return split()[1]
