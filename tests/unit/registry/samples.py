"""A small model directory that may be published, for tests to break in one place at a time."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The one that runs the tests: code for another is published unread."""

MODEL_YAML = f"""\
name: echo
entry_point: "model:Echo"
chipsets: [cpu]
gpus: 0
ranks: 1
memory_mib: 64
timeout_s: 30
python: "{PYTHON}"
inputs:
  type: object
  required: [prompt]
  properties:
    prompt: {{type: string, maxLength: 100}}
outputs:
  type: object
"""

MODEL_PY = """\
class Echo:
    def load(self, weights_dir, device, rank, world_size):
        pass

    def predict(self, inputs, ctx):
        return {"prompt": inputs["prompt"]}
"""


def safetensors(values: list[float]) -> bytes:
    """One tensor of float32, in the format's own bytes."""
    header = {"weight": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, 4 * len(values)]}}
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + struct.pack(f"<{len(values)}f", *values)


def write_model(
    path: Path, *, yaml: str = MODEL_YAML, code: str = MODEL_PY, lock: str = "", values: tuple[float, ...] = (1.0, 2.0)
) -> Path:
    (path / "weights").mkdir(parents=True)
    (path / "model.yaml").write_text(yaml)
    (path / "model.py").write_text(code)
    (path / "environment.lock").write_text(lock)
    (path / "weights" / "echo.safetensors").write_bytes(safetensors(list(values)))
    return path
