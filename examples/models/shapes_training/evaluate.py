"""Ask the model for held-out combinations, which training never saw, and let the independent check judge the clips.

`python evaluate.py` reads ../shapes/weights/shapes.safetensors, and writes evaluation.json and contact_sheet.png here.
The combinations and their wordings are drawn by the seed that ../media_training/cases.py keeps for these weights. With
`--development N` they are drawn by seed N from the combinations that the model was trained on. The check also judges
drawn clips of the same combinations, which shows the check's own mistakes, and it compares each made clip with the next
prompt, which shows how many clips luck would pass.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes"))
sys.path.append(str(Path(__file__).resolve().parent.parent / "media_training"))

from cases import seed_of
from check import Seen, look
from check_media import thing
from clips import FRAMES, Combination, draw, plan, split
from film_file import write_png
from network import ShapesNetwork
from sampling import GUIDANCE, STEPS, decode_frames, sample_latents
from wording import describe

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Verdict:
    """One prompt, what the prompt asked for, and what the check saw."""

    prompt: str
    seed: int
    asked: Combination
    seen: Seen
    outline: str  # as the check of pixels names it
    frames: npt.NDArray[np.uint8]  # (24, 64, 64, 3)

    @property
    def colour_right(self) -> bool:
        return self.seen.colour == self.asked.colour

    @property
    def motion_right(self) -> bool:
        return self.seen.motion == self.asked.motion

    @property
    def background_right(self) -> bool:
        return self.seen.background == self.asked.background

    @property
    def outline_right(self) -> bool:
        return self.outline == self.asked.shape

    @property
    def passed(self) -> bool:
        return self.colour_right and self.motion_right and self.outline_right


def judge(
    network: ShapesNetwork, combinations: list[Combination], *, first_seed: int, steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> list[Verdict]:  # fmt: skip
    """One clip for each combination, worded in full; seeds count up from `first_seed`."""
    rng = random.Random(first_seed)
    prompts = [describe(rng, one, None, complete=True) for one in combinations]
    seeds = [first_seed + index for index in range(len(prompts))]
    latents = sample_latents(network, prompts, seeds, steps=steps, guidance=guidance)
    frames = decode_frames(network, latents).numpy()
    return [
        Verdict(prompt, seed, one, look(clip), thing(clip).outline, clip)
        for prompt, seed, one, clip in zip(prompts, seeds, combinations, frames, strict=True)
    ]


def share(verdicts: list[Verdict], right: Callable[[Verdict], bool]) -> float:
    return round(sum(map(right, verdicts)) / len(verdicts), 4)


def table(verdicts: list[Verdict], heading: Callable[[Verdict], str]) -> dict[str, str]:
    """For each heading, how many clips passed of how many were asked for."""
    counts: dict[str, list[bool]] = {}
    for verdict in verdicts:
        counts.setdefault(heading(verdict), []).append(verdict.passed)
    return {name: f"{sum(passed)}/{len(passed)}" for name, passed in sorted(counts.items())}


def contact_sheet(path: Path, verdicts: list[Verdict]) -> None:
    """Write a picture with two clips a row, six frames of each. A clip that failed has a red mark at its left."""
    strips = []
    for verdict in verdicts:
        frames = np.pad(verdict.frames[[0, 5, 9, 14, 18, 23]], ((0, 0), (0, 2), (0, 2), (0, 0)), constant_values=128)
        strip = np.pad(np.concatenate(list(frames), axis=1), ((0, 0), (6, 0), (0, 0)), constant_values=128)
        if not verdict.passed:
            strip[:, :6] = (255, 0, 0)
        strips.append(strip)
    rows = [np.concatenate(strips[at : at + 2], axis=1) for at in range(0, len(strips) - 1, 2)]
    write_png(str(path), np.concatenate(rows, axis=0))


def check_of_the_check(combinations: list[Combination]) -> float:
    """Share of drawn clips of these combinations whose colour, motion and outline the check names right."""
    clips = plan(np.random.default_rng(5), combinations)
    pictures = draw(clips, np.tile(np.arange(FRAMES), (len(combinations), 1)))
    frames = np.clip((pictures + 1) * 127.5, 0, 255).astype(np.uint8)
    right = [
        (look(clip).colour, look(clip).motion, thing(clip).outline) == (one.colour, one.motion, one.shape)
        for clip, one in zip(frames, combinations, strict=True)
    ]
    return sum(right) / len(right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=HERE.parent / "shapes" / "weights" / "shapes.safetensors")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for evaluation.json and contact_sheet.png")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--development", type=int)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    arguments = parser.parse_args()
    network = ShapesNetwork()
    network.load_state_dict({name: value.float() for name, value in load_file(arguments.weights).items()})
    network.eval()
    training, held_out = split()
    if arguments.development is None:
        seed, drawn_from = seed_of("shapes", arguments.weights), held_out
    else:
        seed, drawn_from = arguments.development, training
    combinations = random.Random(seed).sample(drawn_from, arguments.prompts)
    started = time.monotonic()
    verdicts = judge(network, combinations, first_seed=seed, steps=arguments.steps, guidance=arguments.guidance)
    seconds = time.monotonic() - started
    shifted = combinations[1:] + combinations[:1]
    report = {
        "seed": seed,
        "held_out": arguments.development is None,
        "prompts": len(verdicts),
        "passed": share(verdicts, lambda one: one.passed),
        "colour_right": share(verdicts, lambda one: one.colour_right),
        "motion_right": share(verdicts, lambda one: one.motion_right),
        "outline_right": share(verdicts, lambda one: one.outline_right),
        "background_right": share(verdicts, lambda one: one.background_right),
        "drawn_clips_passed": check_of_the_check(combinations),
        "passed_against_the_next_prompt": sum(
            (one.seen.colour, one.seen.motion) == (other.colour, other.motion)
            for one, other in zip(verdicts, shifted, strict=True)
        )
        / len(verdicts),
        "steps": arguments.steps,
        "guidance": arguments.guidance,
        "threads": torch.get_num_threads(),
        "seconds_for_all": round(seconds, 2),
        "by_motion": table(verdicts, lambda one: one.asked.motion),
        "by_colour": table(verdicts, lambda one: one.asked.colour),
        "by_background": table(verdicts, lambda one: one.asked.background),
        "by_shape": table(verdicts, lambda one: one.asked.shape),
    }
    for name, value in report.items():
        print(f"{name}: {value}")
    for one in verdicts:
        if not one.passed:
            print(f"failed: {one.prompt!r} asked {one.asked.key} seen {one.seen} {one.outline}")
    report["clips"] = [
        {
            "prompt": one.prompt,
            "seed": one.seed,
            "asked": one.asked.key,
            "passed": one.passed,
            "outline": one.outline,
            **vars(one.seen),
        }
        for one in verdicts
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    contact_sheet(arguments.out / "contact_sheet.png", verdicts)


if __name__ == "__main__":
    main()
