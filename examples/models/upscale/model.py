"""`upscale`: a clip in, the same clip with two or four times as many pixels along each side out.

The node prepares the clip: 12 frames a second, no side longer than 256 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from media_file import Picture, read_pictures
from network import UpscaleNetwork
from safetensors.torch import load_file

FPS = 12


class Context(Protocol):
    """What the node's runner gives to `predict`."""

    def progress(self, fraction: float, message: str = "") -> None: ...
    def cancelled(self) -> bool: ...
    def video(self, name: str, frames: Any, fps: float) -> int: ...


class Cancelled(Exception):
    """The caller asked to stop before the film was finished."""


class UpscaleModel:
    """Loads its weights once, then enlarges one clip at a time."""

    def load(self, weights_dir: str, device: str, rank: int, world_size: int) -> None:
        """Read `upscale.safetensors` from `weights_dir`. ValueError when there is more than one rank."""
        if (rank, world_size) != (0, 1):
            raise ValueError(f"upscale runs on one rank, but was given rank {rank} of {world_size}")
        self.network = UpscaleNetwork()
        state = load_file(Path(weights_dir) / "upscale.safetensors")
        self.network.load_state_dict({name: value.float() for name, value in state.items()})
        self.network.to(device).eval().requires_grad_(False)

    def predict(self, inputs: dict[str, Any], ctx: Context) -> dict[str, Any]:
        """Hand `video.mp4` over to be encoded, made from `inputs`, which match `inputs` in model.yaml."""
        scale = int(inputs.get("scale", 2))
        source = read_pictures(str(inputs["video"]), 4)
        count = ctx.video("video.mp4", self.enlarged(source, scale, ctx), FPS)
        ctx.progress(1.0, "done")
        return {"frames": count, "width": source.shape[2] * scale, "height": source.shape[1] * scale, "fps": FPS,
                "scale": scale}  # fmt: skip

    def enlarged(self, source: Picture, scale: int, ctx: Context) -> Iterator[Picture]:
        """The result's frames, one by one."""
        for number, picture in enumerate(source):
            _stop_if_cancelled(ctx)
            yield self.network.enlarge(torch.from_numpy(picture), scale).numpy()
            ctx.progress(0.98 * (number + 1) / len(source), f"frame {number + 1} of {len(source)}")


def _stop_if_cancelled(ctx: Context) -> None:
    if ctx.cancelled():
        raise Cancelled("stopped because the job was cancelled")
