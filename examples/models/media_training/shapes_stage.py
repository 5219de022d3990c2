"""The flow of `shapes`, on the codec's numbers: from a prompt alone to a thing's looks and its track.

`python shapes_stage.py --out SCRATCH` reads SCRATCH/codec.pt, and writes SCRATCH/shapes.pt, SCRATCH/shapes.jsonl and
SCRATCH/shapes.safetensors. Stopped, it goes on.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes"))
sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes_training"))

from clips import FRAMES, Combination, draw, plan, split
from codec import Codec
from codec_stage import true_track
from flow import Flow
from journal import Stage
from network import TRACK_SIZE, ShapesNetwork, moves
from safetensors.torch import save_file
from wording import describe
from words import encode

CLIPS = 96
NOISES = 2
POOL = 24_000


@torch.inference_mode()
def pool(
    codec: Codec, count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[tuple[Combination, str]]]:
    """Codes, their spreads, tracks, and what is shown, of `count` training clips."""
    training, _ = split()
    codes, spreads, tracks, shown = [], [], [], []
    rng = np.random.default_rng(seed)
    for _ in range(0, count, 250):
        clips = plan(rng, [training[index] for index in rng.integers(0, len(training), 250)])
        moments = rng.integers(0, FRAMES, (250, 1))
        track = true_track(clips)
        seen = torch.from_numpy(draw(clips, moments)).flatten(0, 1).permute(0, 3, 1, 2).contiguous()
        mean, log_variance = codec.looks(seen, track[torch.arange(250), torch.from_numpy(moments[:, 0])])
        codes.append(mean)
        spreads.append(torch.exp(0.5 * log_variance))
        tracks.append(track)
        shown.extend(zip(clips.combinations, clips.sizes, strict=True))
    return torch.cat(codes).clone(), torch.cat(spreads).clone(), torch.cat(tracks).clone(), shown


def train(
    stage: Stage, flow: Flow, means: torch.Tensor, spreads: torch.Tensor, shown: list[tuple[Combination, str]]
) -> None:
    losses: list[float] = []
    nothing = torch.zeros(CLIPS * NOISES, 1)
    for number in stage:
        rng, words_rng = np.random.default_rng([71, number]), random.Random(number)
        torch.manual_seed(number)
        rows = rng.integers(0, len(means), CLIPS)
        target = means[rows] + 0.5 * spreads[rows] * torch.randn(CLIPS, means.shape[1])
        target = ((target - flow.mean) / flow.spread).repeat(NOISES, 1)
        prompts = ["" if words_rng.random() < 0.1 else describe(words_rng, *shown[row]) for row in rows]
        condition = flow.prompt(encode(prompts)).repeat(NOISES, 1)
        noise = torch.randn_like(target)
        level = torch.sigmoid(torch.randn(len(target)) * 1.3 - 0.3)
        velocity = flow(noise + level[:, None] * (target - noise), level, condition, nothing)
        loss = (velocity - (target - noise)).square().mean()
        stage.step(loss)
        losses.append(loss.item())
        if number % 200 == 0:
            stage.write(step=number, loss=float(np.mean(losses[-200:])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--minutes", type=float, default=25.0, help="of CPU time")
    parser.add_argument("--pool", type=int, default=POOL)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(70)
    network, codec = ShapesNetwork(), Codec()
    codec.load_state_dict(torch.load(arguments.out / "codec.pt", weights_only=True)["average"])
    network.renderer.load_state_dict(codec.renderer.state_dict())
    codes, spreads, tracks, shown = pool(codec, arguments.pool, seed=72)
    every = moves(tracks)
    network.basis.copy_(torch.linalg.svd(every[:6000], full_matrices=False)[2][:TRACK_SIZE])
    means = torch.cat([codes, every @ network.basis.T], 1)
    spreads = torch.cat([spreads, torch.zeros(len(spreads), TRACK_SIZE)], 1)
    flow = network.flow
    flow.mean.copy_(means.mean(0))
    flow.spread.copy_(means.std(0) + 1e-4)
    stage = Stage("shapes", arguments.out, flow, rate=1.5e-3, steps=arguments.steps, minutes=arguments.minutes)
    stage.write(parameters=sum(one.numel() for one in network.parameters()), pool=len(shown), torch=torch.__version__)
    train(stage, flow, means, spreads, shown)
    flow.load_state_dict(stage.average, strict=False)
    path = arguments.out / "shapes.safetensors"
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)
    stage.write(step=stage.number, end=True, megabytes=path.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
