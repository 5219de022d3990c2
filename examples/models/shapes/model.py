"""The demo model: words and noise in, a two-second film of a moving shape out.

The film is 24 frames, drawn by the network at 256 x 256.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Protocol

from network import ShapesNetwork
from safetensors.torch import load_file
from sampling import GUIDANCE, STEPS, decode_frames, sample_latents

FPS = 12
LARGER = 4  # times 64 pixels along each side
SEED_MAX = 2**31 - 1
# Share of the work that is done when the last sampling step ends. The rest is drawing.
SAMPLED = 0.8


class Context(Protocol):
    """What the node's runner gives to `predict`."""

    def progress(self, fraction: float, message: str = "") -> None: ...
    def cancelled(self) -> bool: ...
    def video(self, name: str, frames: Any, fps: float) -> int: ...


class Cancelled(Exception):
    """The caller asked to stop before the film was finished."""


class ShapesModel:
    """Loads its weights once, then makes one film at a time."""

    def load(self, weights_dir: str, device: str, rank: int, world_size: int) -> None:
        """Read `shapes.safetensors` from `weights_dir`. ValueError when there is more than one rank."""
        if (rank, world_size) != (0, 1):
            raise ValueError(f"shapes runs on one rank, but was given rank {rank} of {world_size}")
        self.network = ShapesNetwork()
        state = load_file(Path(weights_dir) / "shapes.safetensors")
        self.network.load_state_dict({name: value.float() for name, value in state.items()})
        self.network.to(device).eval().requires_grad_(False)

    def predict(self, inputs: dict[str, Any], ctx: Context) -> dict[str, Any]:
        """Make `video.mp4` from `inputs`, which match `inputs` in model.yaml."""
        seed = inputs.get("seed")
        if seed is None:
            seed = random.SystemRandom().randint(0, SEED_MAX)
        steps = int(inputs.get("steps", STEPS))

        def after_step(done: int) -> None:
            ctx.progress(SAMPLED * done / steps, f"step {done} of {steps}")
            _stop_if_cancelled(ctx)

        _stop_if_cancelled(ctx)
        latents = sample_latents(
            self.network,
            [str(inputs["prompt"])],
            [int(seed)],
            steps=steps,
            guidance=float(inputs.get("guidance", GUIDANCE)),
            on_step=after_step,
        )
        frames = decode_frames(self.network, latents, LARGER)[0].numpy()
        _stop_if_cancelled(ctx)
        count = ctx.video("video.mp4", frames, FPS)  # the node encodes, and makes the still pictures
        ctx.progress(1.0, "done")
        return {
            "frames": count,
            "width": frames.shape[2],
            "height": frames.shape[1],
            "fps": FPS,
            "seed": int(seed),
        }


def _stop_if_cancelled(ctx: Context) -> None:
    if ctx.cancelled():
        raise Cancelled("stopped because the job was cancelled")
