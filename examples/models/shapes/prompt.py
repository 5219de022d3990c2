"""The words of a prompt to one vector."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from words import BUCKETS, WORDS_MAX

CONDITION = 160
WIDTH = 64
HEADS = 4


def feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))


class Attention(nn.Module):
    """Multi-head attention from `x` (n, q, WIDTH) to `source` (n, k, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key_value = nn.Linear(WIDTH, 2 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`mask` (n, k) is True where `source` may be looked at."""
        count, length, width = x.shape
        query = self.query(x).view(count, length, HEADS, -1).transpose(1, 2)
        key_value = self.key_value(source).view(count, source.shape[1], 2 * HEADS, -1).transpose(1, 2)
        key, value = key_value.chunk(2, dim=1)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        return self.out(mixed.transpose(1, 2).reshape(count, length, width))


class PromptEncoder(nn.Module):
    """Bucket numbers (n, words, pieces) to one vector (n, CONDITION) a prompt.

    Words become vectors, look at each other twice, and are then read by a few learned questions. The first vector
    belongs to no word: an empty prompt has that vector only.
    """

    QUESTIONS = 6

    def __init__(self) -> None:
        super().__init__()
        self.pieces = nn.Embedding(BUCKETS, WIDTH, padding_idx=0)
        self.places = nn.Parameter(torch.randn(1 + WORDS_MAX, WIDTH) * 0.1)
        self.first = nn.Parameter(torch.randn(WIDTH) * 0.1)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(5))
        self.mixers = nn.ModuleList(Attention() for _ in range(2))
        self.thinkers = nn.ModuleList(feed_forward(WIDTH) for _ in range(2))
        self.questions = nn.Parameter(torch.randn(self.QUESTIONS, WIDTH))
        self.reader = Attention()
        self.leave = nn.Linear(self.QUESTIONS * WIDTH, CONDITION)

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
