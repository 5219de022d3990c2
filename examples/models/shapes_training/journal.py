"""The training log: one JSON object a line, and the learning-rate curve that both stages share."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch


class Journal:
    """Writes each record to a file at once, and to the terminal. `seconds` counts from the journal's start."""

    def __init__(self, path: Path) -> None:
        self._started = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def write(self, stage: str, **values: float | int | str) -> None:
        rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}
        line = json.dumps({"stage": stage, "seconds": round(self.seconds, 1), **rounded})
        self._file.write(line + "\n")
        self._file.flush()
        print(line, flush=True)


def part_done(steps: int, minutes: float) -> Iterator[tuple[int, float]]:
    """Step numbers from 1, each with the part of the stage (0..1) that is over: by steps or by time, the larger one."""
    started = time.monotonic()
    for number in range(1, steps + 1):
        done = max(number / steps, (time.monotonic() - started) / (60 * minutes))
        yield number, min(done, 1.0)
        if done >= 1:
            return


def learning_rate(peak: float, done: float) -> float:
    """Linear rise over the first 3 % of the stage, then half a cosine down to 1 % of the peak. `done` is 0..1."""
    if done < 0.03:
        return peak * (done + 0.001) / 0.031
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - 0.03) / 0.97)))


def step(optimiser: torch.optim.Optimizer, loss: torch.Tensor, rate: float) -> None:
    """One optimiser step at this learning rate. The gradient's norm is at most 1 in each parameter group."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for group in optimiser.param_groups:
        group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimiser.step()
