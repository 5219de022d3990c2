"""Stage two: learn to walk from noise to a clip's latent, led by the words.

A rectified flow: the point at level t is (1 - t) * noise + t * latent, and the network learns latent - noise. Levels
are drawn mostly from the noisy side, because what the clip shows, and where it moves, is decided there.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import numpy as np
import torch
from clips import Combination
from evaluate import judge, share
from journal import Journal, learning_rate, part_done, step
from network import ShapesNetwork
from wording import describe
from words import encode


@dataclass(frozen=True)
class FlowPlan:
    steps: int = 4000
    minutes: float = 10.0  # the stage ends after this time on a slow machine
    clips: int = 64  # a step
    noises: int = 2  # for each clip
    pool: int = 12000  # clips encoded beforehand
    rate: float = 1.2e-3
    unprompted: float = 0.1  # share of clips trained with an empty prompt, for guidance
    memory: float = 0.99  # of the moving average of the weights; the average is published


def train_flow(
    network: ShapesNetwork, pool: tuple[torch.Tensor, torch.Tensor, list[tuple[Combination, str]]],
    held_out: list[Combination], journal: Journal, how: FlowPlan, seed: int,
) -> None:  # fmt: skip
    """Train `network.prompt` and `network.denoiser` in place, on encoded clips. They end with the averaged weights."""
    means, spreads, shown = pool
    network.latent_mean.copy_(means.mean(0))
    network.latent_spread.copy_((means.var(0) + (spreads * spreads).mean(0)).sqrt())
    rng, words_rng = np.random.default_rng(seed), random.Random(seed)
    trained = torch.nn.ModuleList([network.prompt, network.denoiser])
    averaged = copy.deepcopy(network)
    average = torch.nn.ModuleList([averaged.prompt, averaged.denoiser])
    optimiser = torch.optim.AdamW(trained.parameters(), lr=how.rate, betas=(0.9, 0.98), weight_decay=1e-2, fused=True)
    losses: list[float] = []
    for number, done in part_done(how.steps, how.minutes):
        rows = rng.integers(0, len(means), how.clips)
        prompts = ["" if words_rng.random() < how.unprompted else describe(words_rng, *shown[row]) for row in rows]
        latent = means[rows] + spreads[rows] * torch.randn(how.clips, means.shape[1])
        latent = ((latent - network.latent_mean) / network.latent_spread).repeat(how.noises, 1)
        noise = torch.randn_like(latent)
        level = torch.sigmoid(torch.randn(len(latent)) * 1.2 - 0.4)
        mixed = noise + level[:, None] * (latent - noise)
        condition = network.prompt(encode(prompts)).repeat(how.noises, 1)
        velocity = network.denoiser(mixed, level, condition)
        loss = (velocity - (latent - noise)).square().mean()
        step(optimiser, loss, learning_rate(how.rate, done))
        memory = min(how.memory, number / (number + 9))
        with torch.no_grad():
            for kept, new in zip(average.parameters(), trained.parameters(), strict=True):
                kept.lerp_(new, 1 - memory)
        losses.append(loss.item())
        if number % 50 == 0:
            journal.write("flow", step=number, loss=float(np.mean(losses[-50:])))
        if number % 500 == 0:
            journal.write("flow-check", step=number, **_check(averaged, held_out))
    journal.write("flow-check", step=number, **_check(averaged, held_out))
    trained.load_state_dict(average.state_dict())


def _check(network: ShapesNetwork, held_out: list[Combination]) -> dict[str, float]:
    """Shares of 50 held-out prompts whose clips the independent check names right."""
    verdicts = judge(network, held_out[:50], first_seed=0)
    return {
        "passed": share(verdicts, lambda one: one.passed),
        "colour": share(verdicts, lambda one: one.colour_right),
        "motion": share(verdicts, lambda one: one.motion_right),
        "background": share(verdicts, lambda one: one.background_right),
    }
