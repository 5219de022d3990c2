"""Prompts to numbers, without a fixed vocabulary.

A word becomes the hashes of the word and of its three-letter pieces. So a word that training never saw still has an
embedding, near to those of words spelt alike, and no prompt fails for an unknown word.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache

import torch

WORDS_MAX = 24
PIECES_MAX = 10
BUCKETS = 4096  # bucket 0 means "no piece"

_WORD = re.compile(r"\w+", re.UNICODE)


@lru_cache(maxsize=8192)
def pieces(word: str) -> tuple[int, ...]:
    """PIECES_MAX bucket numbers of one lower-case word; unused places are 0."""
    marked = f"<{word}>"
    parts = [marked, *(marked[at : at + 3] for at in range(len(marked) - 2))][:PIECES_MAX]
    found = [zlib.crc32(part.encode()) % (BUCKETS - 1) + 1 for part in parts]
    return tuple(found + [0] * (PIECES_MAX - len(found)))


def encode(prompts: list[str]) -> torch.Tensor:
    """Bucket numbers (prompts, words of the longest prompt, PIECES_MAX), int64. Words past WORDS_MAX are dropped."""
    rows = [[pieces(word) for word in _WORD.findall(prompt.lower())[:WORDS_MAX]] for prompt in prompts]
    longest = max(1, *map(len, rows))
    empty = (0,) * PIECES_MAX
    rows = [row + [empty] * (longest - len(row)) for row in rows]
    return torch.tensor(rows, dtype=torch.int64)
