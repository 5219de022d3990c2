"""A model of several ranks, for tests with servers. Its torch is the stand-in, which is published with the model's
code."""

from __future__ import annotations

import shutil
from pathlib import Path

STAND_IN = Path(__file__).parent / "torch_stand_in" / "torch"

MODEL = """
import time
from pathlib import Path

import torch
import torch.distributed as distributed

class Gang:
    def load(self, weights_dir, device, rank, world_size):
        self.rank, self.world = rank, world_size

    def predict(self, inputs, ctx):
        Path(ctx.output("rank.txt")).write_text(str(self.rank))
        ctx.progress(0.1, "summing")
        end_s = time.monotonic() + inputs.get("sleep_ms", 0) / 1000
        while time.monotonic() < end_s:
            time.sleep(0.02)
        numbers = torch.tensor([self.rank + 1, 10])
        distributed.all_reduce(numbers)
        return {"sum": numbers.tolist(), "world": self.world}
"""

MODEL_YAML = """
name: {name}
entry_point: gang:Gang
chipsets: [cpu]
ranks: {ranks}
timeout_s: 60
python: "3.11"
inputs:
  type: object
  properties:
    sleep_ms: {{type: integer}}
outputs:
  type: object
  required: [sum, world]
"""


def gang_model(directory: Path, name: str, ranks: int) -> Path:
    """The model's directory, ready to publish. It returns the sum over its ranks of (rank + 1, 10)."""
    shutil.copytree(STAND_IN, directory / "torch", ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "gang.py").write_text(MODEL)
    (directory / "model.yaml").write_text(MODEL_YAML.format(name=name, ranks=ranks))
    (directory / "environment.lock").write_text("")
    return directory
