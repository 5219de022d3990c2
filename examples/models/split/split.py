"""Tensor parallelism in small: y = relu(x A) B, with A split by columns and B by rows over the ranks.

Each rank computes its part of y; `all_reduce` adds the parts. All numbers are small whole numbers, so the sum is exact
and can be compared with the sum of the unsplit layer. The node makes the process group before it calls `load`.
"""

import time

import torch
import torch.distributed as distributed

ROWS, WIDTH, HIDDEN = 8, 64, 256
WEIGHTS_SEED = 7


class Split:
    def load(self, weights_dir, device, rank, world_size):
        """Keep this rank's share of the weights. A real model would read them; this one draws them from a seed."""
        self.device, self.rank, self.world_size = device, rank, world_size
        a, b = draw_weights()
        share = HIDDEN // world_size
        mine = slice(rank * share, (rank + 1) * share if rank + 1 < world_size else HIDDEN)
        self.a, self.b = a[:, mine].to(device), b[mine].to(device)

    def predict(self, inputs, ctx):
        x = whole_numbers((ROWS, WIDTH), inputs.get("seed", 0))
        wait(inputs.get("sleep_ms", 0) / 1000, ctx)
        y = (x.to(self.device) @ self.a).relu() @ self.b
        parts = torch.zeros(self.world_size, dtype=y.dtype, device=self.device)
        parts[self.rank] = y.sum()
        distributed.all_reduce(y)
        distributed.all_reduce(parts)
        if self.rank > 0:
            return None  # only rank 0 gives the result
        a, b = draw_weights()
        return {
            "ranks": self.world_size,
            "parts": parts.tolist(),
            "sum": y.sum().item(),
            "whole": ((x @ a).relu() @ b).sum().item(),
        }


def draw_weights():
    return whole_numbers((WIDTH, HIDDEN), WEIGHTS_SEED), whole_numbers((HIDDEN, WIDTH), WEIGHTS_SEED + 1)


def whole_numbers(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-3, 4, shape, generator=generator).double()


def wait(seconds, ctx):
    start = time.monotonic()
    while (done := time.monotonic() - start) < seconds:
        ctx.progress(done / seconds, "waiting")
        time.sleep(min(0.05, seconds - done))
