"""`image-to-video`: a picture and a prompt in, a two-second film that begins with the picture out.

The node prepares the picture: 64 x 64 pixels. The film has 24 frames, drawn at 256 x 256.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Protocol

import torch
from codec import SIDE, to_bytes
from media_file import read_pictures
from motion import STEPS, AnimateNetwork
from safetensors.torch import load_file

FPS = 12
LARGER = 4
SEED_MAX = 2**31 - 1
# Share of the work that is done when the flow ends; the rest is drawing and encoding.
SAMPLED = 0.5


class Context(Protocol):
    """What the node's runner gives to `predict`."""

    def progress(self, fraction: float, message: str = "") -> None: ...
    def cancelled(self) -> bool: ...
    def video(self, name: str, frames: Any, fps: float) -> int: ...


class Cancelled(Exception):
    """The caller asked to stop before the film was finished."""


class ImageToVideoModel:
    """Loads its weights once, then animates one picture at a time."""

    def load(self, weights_dir: str, device: str, rank: int, world_size: int) -> None:
        """Read `image_to_video.safetensors` from `weights_dir`. ValueError when there is more than one rank."""
        if (rank, world_size) != (0, 1):
            raise ValueError(f"image-to-video runs on one rank, but was given rank {rank} of {world_size}")
        self.network = AnimateNetwork()
        state = load_file(Path(weights_dir) / "image_to_video.safetensors")
        self.network.load_state_dict({name: value.float() for name, value in state.items()})
        self.network.to(device).eval().requires_grad_(False)

    def predict(self, inputs: dict[str, Any], ctx: Context) -> dict[str, Any]:
        """Hand `video.mp4` over to be encoded, made from `inputs`, which match `inputs` in model.yaml."""
        seed = inputs.get("seed")
        if seed is None:
            seed = random.SystemRandom().randint(0, SEED_MAX)
        picture = torch.from_numpy(read_pictures(str(inputs["image"]), 3))
        if picture.shape[:2] != (SIDE, SIDE):
            raise ValueError(f"expected a picture of {SIDE} x {SIDE} pixels, found {tuple(picture.shape[:2])}")

        def after_step(done: int) -> None:
            ctx.progress(SAMPLED * done / STEPS, f"step {done} of {STEPS}")
            _stop_if_cancelled(ctx)

        _stop_if_cancelled(ctx)
        start, code = self.network.look(picture[None])
        track = self.network.animate(start, [str(inputs["prompt"])], [int(seed)], on_step=after_step)
        frames = to_bytes(self.network.frames(picture, track[0], code[0], LARGER)).numpy()
        ctx.progress(0.8, "encoding")
        _stop_if_cancelled(ctx)
        count = ctx.video("video.mp4", frames, FPS)
        ctx.progress(1.0, "done")
        return {"frames": count, "width": SIDE * LARGER, "height": SIDE * LARGER, "fps": FPS, "seed": int(seed)}


def _stop_if_cancelled(ctx: Context) -> None:
    if ctx.cancelled():
        raise Cancelled("stopped because the job was cancelled")
