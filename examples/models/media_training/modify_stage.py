"""Second stage of `modify-video`: learn from a source's code, a prompt and a freedom to the result's code and track.

`python modify_stage.py --out SCRATCH` reads SCRATCH/codec.pt, and writes SCRATCH/modify.pt, SCRATCH/modify.jsonl and
SCRATCH/modify_video.safetensors. Stopped, it goes on.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes_training"))
sys.path.append(str(Path(__file__).resolve().parent.parent / "modify_video"))

from clips import FRAMES, draw, split
from codec import Codec
from codec_stage import true_track, worn
from edit import CHANGE_SIZE, ModifyNetwork, summary
from edits import Edit, ask, pairs
from flow import Flow
from journal import Stage
from safetensors.torch import save_file
from words import encode

CLIPS = 96
NOISES = 2  # for each pair and step
POOL = 24_000


@torch.inference_mode()
def pool(codec: Codec, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[Edit]]:
    """Known numbers, results' numbers and their spreads, and requests of `count` pairs, encoded."""
    training, _ = split()
    known, means, spreads, edits = [], [], [], []
    for number in range(0, count, 250):
        some = pairs(seed + number, training, 250)
        rng = np.random.default_rng(seed + number)
        torch.manual_seed(seed + number)
        moments = rng.integers(0, FRAMES, (250, 2))
        seen = worn(torch.from_numpy(draw(some.source, moments)).flatten(0, 1).permute(0, 3, 1, 2)).contiguous()
        code = codec.looks(seen, codec.tracker(seen))[0].view(250, 2, -1).mean(1)
        track = true_track(some.source) + 0.004 * torch.randn(250, FRAMES, 3)
        known.append(torch.cat([code, summary(track), torch.from_numpy(some.freedom)[:, None]], 1))
        result = torch.from_numpy(draw(some.result, moments[:, :1])).flatten(0, 1).permute(0, 3, 1, 2).contiguous()
        told = true_track(some.result)[torch.arange(250), torch.from_numpy(moments[:, 0])]
        mean, log_variance = codec.looks(result, told)
        means.append(torch.cat([mean, torch.from_numpy(some.change)], 1))
        spreads.append(torch.cat([torch.exp(0.5 * log_variance), torch.zeros(250, CHANGE_SIZE)], 1))
        edits.extend(some.edits)
    return torch.cat(known).clone(), torch.cat(means).clone(), torch.cat(spreads).clone(), edits


def train(stage: Stage, flow: Flow, data: tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[Edit]]) -> None:
    known, means, spreads, edits = data
    losses: list[float] = []
    for number in stage:
        rng, words_rng = np.random.default_rng([41, number]), random.Random(number)
        torch.manual_seed(number)
        rows = rng.integers(0, len(means), CLIPS)
        target = means[rows] + 0.5 * spreads[rows] * torch.randn(CLIPS, means.shape[1])
        target = ((target - flow.mean) / flow.spread).repeat(NOISES, 1)
        beforehand = ((known[rows] - flow.known_mean) / flow.known_spread).repeat(NOISES, 1)
        condition = flow.prompt(encode([ask(words_rng, edits[row]) for row in rows])).repeat(NOISES, 1)
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
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--minutes", type=float, default=25.0, help="of CPU time")
    parser.add_argument("--pool", type=int, default=POOL)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(40)
    network = ModifyNetwork()
    network.codec.load_state_dict(torch.load(arguments.out / "codec.pt", weights_only=True)["average"])
    network.codec.eval().requires_grad_(False)
    data = pool(network.codec, arguments.pool, seed=1_000_000)
    flow = network.flow
    flow.known_mean.copy_(data[0].mean(0))
    flow.known_spread.copy_(data[0].std(0) + 1e-4)
    flow.mean.copy_(data[1].mean(0))
    flow.spread.copy_(data[1].std(0) + 1e-4)
    stage = Stage("modify", arguments.out, flow, rate=1.5e-3, steps=arguments.steps, minutes=arguments.minutes)
    stage.write(parameters=sum(one.numel() for one in network.parameters()), pool=len(data[3]), torch=torch.__version__)
    train(stage, flow, data)
    flow.load_state_dict(stage.average, strict=False)
    path = arguments.out / "modify_video.safetensors"
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)
    stage.write(step=stage.number, end=True, megabytes=path.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
