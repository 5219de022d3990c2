"""The training log, and training that can be stopped and goes on where it was.

One JSON object a line. `seconds` is CPU time of the training process, all its runs together: the machine is shared, so
the time on the wall says little.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

SAVE_EVERY_S = 15.0


class Stage:
    """One network's training: its log, its checkpoint, and how much of its time is over."""

    def __init__(self, name: str, folder: Path, network: nn.Module, rate: float, steps: int, minutes: float) -> None:
        """Training ends after `steps` or `minutes` of CPU time. A checkpoint in `folder` is continued."""
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.network, self.rate, self.steps, self.minutes = name, network, rate, steps, minutes
        self.average = {key: value.detach().clone() for key, value in network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=1e-3)
        self.number, self._before, self._started = 0, 0.0, time.process_time()
        self._log, self._checkpoint, self._saved = folder / f"{name}.jsonl", folder / f"{name}.pt", 0.0
        if self._checkpoint.exists():
            kept = torch.load(self._checkpoint, weights_only=True)
            network.load_state_dict(kept["network"])
            self.optimiser.load_state_dict(kept["optimiser"])
            self.average, self.number, self._before = kept["average"], kept["number"], kept["seconds"]
            self.write(resumed_at=self.number)

    @property
    def seconds(self) -> float:
        return self._before + time.process_time() - self._started

    def write(self, **values: Any) -> None:
        rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}
        line = json.dumps({"stage": self.name, "seconds": round(self.seconds, 1), **rounded})
        with self._log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(line, flush=True)

    def __iter__(self) -> Iterator[int]:
        """Step numbers. After each, the checkpoint is written when the last one is SAVE_EVERY_S old."""
        while self.number < self.steps and self.seconds < 60 * self.minutes:
            self.number += 1
            yield self.number
            if self.seconds - self._saved > SAVE_EVERY_S:
                self._save()
        self._save()

    def step(self, loss: torch.Tensor) -> None:
        """One step of the optimiser. The gradient's norm is at most 1; the moving average of the weights follows."""
        done = min(1.0, max(self.number / self.steps, self.seconds / (60 * self.minutes)))
        warm = min(1.0, (done + 0.001) / 0.03)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        memory = min(0.99, self.number / (self.number + 9))
        with torch.no_grad():
            for key, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[key].lerp_(value, 1 - memory)

    def _save(self) -> None:
        kept = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(),
                "average": self.average, "number": self.number, "seconds": self.seconds}  # fmt: skip
        part = self._checkpoint.with_suffix(".part")
        torch.save(kept, part)
        part.replace(self._checkpoint)
        self._saved = self.seconds
