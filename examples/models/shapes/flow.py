"""A rectified flow over short vectors, led by a prompt and by what is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from prompt import CONDITION, PromptEncoder
from torch import nn
from torch.nn import functional
from words import encode


class Block(nn.Module):
    """A residual step on the whole vector, shifted and scaled by the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.thinker = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.modulation = nn.Linear(CONDITION, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift, gate = self.modulation(condition).chunk(3, dim=1)
        return x + self.thinker(self.norm(x) * (1 + scale) + shift) * (1 + gate)


class Flow(nn.Module):
    """Velocity from noise (level 0) to a vector of `size` numbers (level 1), led by a prompt and `known` numbers."""

    WIDTH = 160
    mean: torch.Tensor
    spread: torch.Tensor
    known_mean: torch.Tensor
    known_spread: torch.Tensor
    rates: torch.Tensor

    def __init__(self, size: int, known: int, depth: int) -> None:
        super().__init__()
        self.prompt = PromptEncoder()
        self.enter = nn.Linear(size + known, self.WIDTH)
        self.known = nn.Sequential(nn.Linear(known, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION))
        self.level = nn.Sequential(nn.Linear(32, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION))
        self.blocks = nn.ModuleList(Block(self.WIDTH) for _ in range(depth))
        self.norm = nn.LayerNorm(self.WIDTH)
        self.leave = nn.Linear(self.WIDTH, size)
        # Mean and spread of the training data. The networks work on numbers scaled by them.
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("known_mean", torch.zeros(known))
        self.register_buffer("known_spread", torch.ones(known))
        self.register_buffer("rates", torch.exp(torch.linspace(0, math.log(100), 16)), persistent=False)

    def forward(self, x: torch.Tensor, level: torch.Tensor, prompt: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """x (n, size) and known (n, known), both scaled, level (n,) in 0..1, prompt (n, CONDITION) -> (n, size)."""
        angles = level[:, None] * self.rates
        level_part = self.level(torch.cat([angles.sin(), angles.cos()], 1))
        condition = functional.silu(level_part + prompt + self.known(known))
        hidden = self.enter(torch.cat([x, known], 1))
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.leave(self.norm(hidden))

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        known: torch.Tensor,
        *,
        steps: int,
        guidance: float,
        on_step: Callable[[int], None] | None = None,
    ) -> torch.Tensor:
        """Vectors (prompts, size), one seed a prompt. `on_step` is called with the number of steps done.

        The noise is drawn on the CPU, so a seed gives the same noise on every device. `guidance` 1 is the plain model.
        """
        device = self.mean.device
        size = len(self.mean)
        noise = [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        x = torch.stack(noise).to(device)
        times = 1 if guidance == 1 else 2  # with and without the words
        condition = self.prompt(encode([*prompts, *[""] * (len(prompts) * (times - 1))]).to(device))
        scaled = ((known.to(device) - self.known_mean) / self.known_spread).repeat(times, 1)
        for index in range(steps):
            level = torch.full((times * len(x),), index / steps, device=device)
            found = self(x.repeat(times, 1), level, condition, scaled).chunk(times)
            asked, unasked = found[0], found[-1]
            x = x + (unasked + guidance * (asked - unasked)) / steps
            if on_step is not None:
                on_step(index + 1)
        return x * self.spread + self.mean
