"""Second stage of `image-to-video`: learn from a place, a size and a prompt to a track.

`python animate_stage.py --out SCRATCH` reads SCRATCH/codec.pt, and writes SCRATCH/animate.pt, SCRATCH/animate.jsonl and
SCRATCH/image_to_video.safetensors. Stopped, it goes on.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes_training"))
sys.path.append(str(Path(__file__).resolve().parent.parent / "image_to_video"))

from clips import split
from codec import HALF
from flow import Flow
from journal import Stage
from motion import MOTION_SIZE, AnimateNetwork, known, moves
from moves import Move, ask, draw_moves
from safetensors.torch import save_file
from words import encode

CLIPS = 96
NOISES = 2
POOL = 24_000


def tracks(drawn: list[Move]) -> torch.Tensor:
    """(n, FRAMES, 3), as the codec has them."""
    place = torch.from_numpy(np.stack([one.centre for one in drawn])) / HALF - 1
    size = torch.from_numpy(np.stack([one.radius for one in drawn])) / HALF
    return torch.cat([place, size[:, :, None]], 2).float()


def train(stage: Stage, flow: Flow, starts: torch.Tensor, targets: torch.Tensor, drawn: list[Move]) -> None:
    training, _ = split()
    losses: list[float] = []
    for number in stage:
        rng, words_rng = np.random.default_rng([51, number]), random.Random(number)
        torch.manual_seed(number)
        rows = rng.integers(0, len(drawn), CLIPS)
        target = ((targets[rows] - flow.mean) / flow.spread).repeat(NOISES, 1)
        start = starts[rows] + 0.004 * torch.randn(CLIPS, 3)  # the tracker errs a little
        beforehand = ((known(start) - flow.known_mean) / flow.known_spread).repeat(NOISES, 1)
        # A picture's own motion is nowhere to be seen, so any training combination may lend its looks to the words.
        prompts = [
            "" if words_rng.random() < 0.1 else ask(words_rng, words_rng.choice(training), drawn[row].motion)
            for row in rows
        ]
        condition = flow.prompt(encode(prompts)).repeat(NOISES, 1)
        noise = torch.randn_like(target)
        level = torch.sigmoid(torch.randn(len(target)) * 1.3)
        velocity = flow(noise + level[:, None] * (target - noise), level, condition, beforehand)
        loss = (velocity - (target - noise)).square().mean()
        stage.step(loss)
        losses.append(loss.item())
        if number % 200 == 0:
            stage.write(step=number, loss=float(np.mean(losses[-200:])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=20.0, help="of CPU time")
    parser.add_argument("--pool", type=int, default=POOL)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(50)
    network = AnimateNetwork()
    drawn = draw_moves(2_000_000, arguments.pool)
    track = tracks(drawn)
    every = moves(track)
    network.basis.copy_(torch.linalg.svd(every[:6000], full_matrices=False)[2][:MOTION_SIZE])
    targets = every @ network.basis.T
    missed = (targets @ network.basis - every).view(len(every), -1, 3)[:, :, :2].abs().amax((1, 2)) * HALF
    starts = track[:, 0]
    flow = network.flow
    flow.known_mean.copy_(known(starts).mean(0))
    flow.known_spread.copy_(known(starts).std(0) + 1e-4)
    flow.mean.copy_(targets.mean(0))
    flow.spread.copy_(targets.std(0) + 1e-4)
    stage = Stage("animate", arguments.out, flow, rate=1.5e-3, steps=arguments.steps, minutes=arguments.minutes)
    stage.write(parameters=sum(one.numel() for one in network.parameters()), pool=len(drawn), torch=torch.__version__,
                basis_misses_px=missed.quantile(0.99).item())  # fmt: skip
    train(stage, flow, starts, targets, drawn)
    flow.load_state_dict(stage.average, strict=False)
    network.codec.load_state_dict(torch.load(arguments.out / "codec.pt", weights_only=True)["average"])
    path = arguments.out / "image_to_video.safetensors"
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)
    stage.write(step=stage.number, end=True, megabytes=path.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
