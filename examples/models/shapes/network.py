"""The three networks of the model: prompt encoder, denoiser, clip decoder.

    prompt's words -> PromptEncoder -> one vector
    noise -> Denoiser, step by step, led by that vector -> latent of a whole clip
    latent, moment in time -> ClipDecoder -> one frame

The latent describes the whole clip, not one frame: the decoder turns it and a moment into a picture, so that
the moving thing keeps its shape and colour by construction.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from words import BUCKETS, WORDS_MAX

LATENT_SIZE = 64
SIDE = 64
TEXT_WIDTH = 128
HEADS = 4
CONDITION = 256


def feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))


class Attention(nn.Module):
    """Multi-head attention from `x` (n, q, TEXT_WIDTH) to `source` (n, k, TEXT_WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.key_value = nn.Linear(TEXT_WIDTH, 2 * TEXT_WIDTH)
        self.out = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)

    def forward(self, x: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`mask` (n, k) is True where `source` may be looked at."""
        count, length, width = x.shape
        query = self.query(x).view(count, length, HEADS, -1).transpose(1, 2)
        key_value = self.key_value(source).view(count, source.shape[1], 2 * HEADS, -1).transpose(1, 2)
        key, value = key_value.chunk(2, dim=1)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        return self.out(mixed.transpose(1, 2).reshape(count, length, width))


class PromptEncoder(nn.Module):
    """Bucket numbers (n, words, pieces) to one condition vector (n, CONDITION) a prompt.

    Words become vectors, look at each other twice, and are then read by a few learned questions. The first vector
    belongs to no word: an empty prompt has that vector only.
    """

    QUESTIONS = 8

    def __init__(self) -> None:
        super().__init__()
        self.pieces = nn.Embedding(BUCKETS, TEXT_WIDTH, padding_idx=0)
        self.places = nn.Parameter(torch.randn(1 + WORDS_MAX, TEXT_WIDTH) * 0.1)
        self.first = nn.Parameter(torch.randn(TEXT_WIDTH) * 0.1)
        self.norms = nn.ModuleList(nn.LayerNorm(TEXT_WIDTH) for _ in range(5))
        self.mixers = nn.ModuleList(Attention() for _ in range(2))
        self.thinkers = nn.ModuleList(feed_forward(TEXT_WIDTH) for _ in range(2))
        self.questions = nn.Parameter(torch.randn(self.QUESTIONS, TEXT_WIDTH))
        self.reader = Attention()
        self.leave = nn.Linear(self.QUESTIONS * TEXT_WIDTH, CONDITION)

    def forward(self, buckets: torch.Tensor) -> torch.Tensor:
        present = buckets > 0
        words = self.pieces(buckets).sum(2) / present.sum(2, keepdim=True).clamp(min=1).sqrt()
        x = torch.cat([self.first.expand(len(buckets), 1, -1), words], 1)
        x = x + self.places[: x.shape[1]]
        mask = functional.pad(present.any(2), (1, 0), value=True)
        for layer in range(2):
            normal = self.norms[2 * layer](x)
            x = x + self.mixers[layer](normal, normal, mask)
            x = x + self.thinkers[layer](self.norms[2 * layer + 1](x))
        answers = self.reader(self.questions.expand(len(x), -1, -1), self.norms[4](x), mask)
        return self.leave(answers.flatten(1))


class DenoiserBlock(nn.Module):
    """A residual step on the whole latent, shifted and scaled by the condition."""

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


class Denoiser(nn.Module):
    """Velocity of the rectified flow from noise (level 0) to latent (level 1), led by the prompt's vector."""

    WIDTH = 384
    DEPTH = 5
    rates: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(LATENT_SIZE, self.WIDTH)
        self.level = nn.Sequential(nn.Linear(64, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION))
        self.blocks = nn.ModuleList(DenoiserBlock(self.WIDTH) for _ in range(self.DEPTH))
        self.norm = nn.LayerNorm(self.WIDTH)
        self.leave = nn.Linear(self.WIDTH, LATENT_SIZE)
        self.register_buffer("rates", torch.exp(torch.linspace(0, math.log(200), 32)), persistent=False)

    def forward(self, x: torch.Tensor, level: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """x (n, LATENT_SIZE), level (n,) in 0..1, prompt (n, CONDITION) -> (n, LATENT_SIZE)."""
        angles = level[:, None] * self.rates
        condition = functional.silu(self.level(torch.cat([angles.sin(), angles.cos()], 1)) + prompt)
        hidden = self.enter(x)
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.leave(self.norm(hidden))


class Path(nn.Module):
    """From latent and moments to where the decoder looks: (n, k, 3), x and y in -1..1, size in halves of a picture."""

    VECTOR = 256
    rates: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(LATENT_SIZE, self.VECTOR)
        self.moment = nn.Linear(13, 2 * self.VECTOR)
        self.norms = nn.ModuleList(nn.LayerNorm(self.VECTOR) for _ in range(2))
        self.thinkers = nn.ModuleList(feed_forward(self.VECTOR) for _ in range(2))
        self.leave = nn.Linear(self.VECTOR, 3)
        self.direct = nn.Linear(LATENT_SIZE, 3 * 13)
        self.register_buffer("rates", math.pi * torch.arange(1, 7, dtype=torch.float32), persistent=False)

    def forward(self, latent: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
        angles = moments[:, :, None] * self.rates
        features = torch.cat([moments[:, :, None] * 2 - 1, angles.sin(), angles.cos()], 2)
        scale, shift = self.moment(features).chunk(2, dim=2)
        vector = self.enter(latent)[:, None] * (1 + scale) + shift
        for norm, think in zip(self.norms, self.thinkers, strict=True):
            vector = vector + think(norm(vector))
        direct = torch.bmm(features, self.direct(latent).view(-1, 13, 3))
        place, size = (0.3 * self.leave(vector) + direct).split([2, 1], 2)
        return torch.cat([place, 0.05 + 0.2 * functional.softplus(size)], 2)


class ClipDecoder(nn.Module):
    """From latent and moments to frames.

    A learned path says where to look at each moment. One small network, whose weights the latent modulates, then
    decides for every pixel, from the pixel's place relative to that point, how much of the pixel belongs to the front
    layer. The latent also gives the colours of the layers. Network and colours are the same at all moments, so the
    thing keeps its shape and colour as it moves.
    """

    FEATURES = 16  # along one axis
    CHANNELS = 24
    rates: torch.Tensor
    # (inputs, outputs) of the modulated layers. Each of the first two reads one axis.
    LAYERS = (
        (FEATURES, 2 * CHANNELS),
        (FEATURES, 2 * CHANNELS),
        (2 * CHANNELS, CHANNELS),
        (CHANNELS, CHANNELS),
        (CHANNELS, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        self.path = Path()
        self.content = nn.Sequential(nn.Linear(LATENT_SIZE, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU())
        self.weights = nn.ParameterList(
            torch.randn(inputs, outputs) * math.sqrt(2 / inputs) for inputs, outputs in self.LAYERS
        )
        with torch.no_grad():
            self.weights[-1].mul_(0.2)
        self.modulation = nn.Linear(256, 2 * sum(outputs for _, outputs in self.LAYERS))
        self.palette = nn.Linear(LATENT_SIZE, 9)  # front, back, and how the back changes from top to bottom
        self.register_buffer("rates", torch.tensor([1.0, 2.0, 3.0, 4.5]), persistent=False)

    def forward(self, latent: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
        """latent (n, LATENT_SIZE), moments (n, k) in 0..1 -> frames (n, k, SIDE, SIDE, 3), about -1..1."""
        lines = torch.arange(SIDE, device=latent.device).expand(*moments.shape, 2, -1)
        return self.render(latent, self.path(latent, moments), lines)

    def render(self, latent: torch.Tensor, path: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
        """The pixels where the chosen columns and rows cross, (n, k, rows, columns, 3).

        `path` (n, k, 3) is what `self.path` returns; `lines` (n, k, 2, count) are columns, then rows, 0..SIDE - 1.
        """
        count, wanted, _, length = lines.shape
        parts = self.modulation(self.content(latent)).view(count, 1, 2, -1)
        widths = [outputs for _, outputs in self.LAYERS]
        scales, shifts = parts[:, :, 0].split(widths, 2), parts[:, :, 1].split(widths, 2)
        weights = [weight * (1 + scale) for weight, scale in zip(self.weights, scales, strict=True)]
        axes = []
        for axis in range(2):
            features = self._along(lines[:, :, axis], path[:, :, axis], path[:, :, 2])
            axes.append(torch.baddbmm(shifts[axis], features.flatten(1, 2), weights[axis]))
        across = axes[0].view(count, wanted, 1, length, -1)
        down = axes[1].view(count, wanted, length, 1, -1)
        half = self.CHANNELS
        summed = functional.relu(across[..., :half] + down[..., :half]).view(count, -1, half)
        crossed = (across[..., half:] * down[..., half:]).view(count, -1, half)
        x = torch.baddbmm(shifts[2], summed, weights[2][:, :half])
        x = functional.relu(torch.baddbmm(x, crossed, weights[2][:, half:]))
        x = functional.relu(torch.baddbmm(shifts[3], x, weights[3]))
        front = torch.baddbmm(shifts[4], x, weights[4]).sigmoid().view(count, wanted, length, length, 1)
        colour, back, change = self.palette(latent).view(count, 1, 1, 1, 9).split(3, 4)
        ground = back + change * (lines[:, :, 1, :, None, None] * (2 / (SIDE - 1)) - 1)
        return ground + front * (colour - ground)

    def _along(self, lines: torch.Tensor, place: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        """Features of each line along one axis, (n, k, count, FEATURES), for places and sizes (n, k)."""
        absolute = (lines * (2 / (SIDE - 1)) - 1)[..., None]
        size = size[..., None, None]
        relative = (absolute - place[..., None, None]) / size
        near = relative.clamp(-2.5, 2.5)
        angles = near * self.rates
        bump = torch.exp(-0.5 * relative * relative)
        wide = torch.exp(-0.08 * relative * relative)
        plain = [near, near.abs(), near * near, bump, wide, absolute, size.expand_as(near), near * size]
        return torch.cat([*plain, angles.sin(), angles.cos()], -1)


class ShapesNetwork(nn.Module):
    """All networks of the model, and the scale of its latents: what the published weights hold."""

    latent_mean: torch.Tensor
    latent_spread: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.prompt = PromptEncoder()
        self.denoiser = Denoiser()
        self.decoder = ClipDecoder()
        # Mean and spread of the training clips' latents. The denoiser works on latents scaled by them.
        self.register_buffer("latent_mean", torch.zeros(LATENT_SIZE))
        self.register_buffer("latent_spread", torch.ones(LATENT_SIZE))
