"""From prompts to frames: rectified flow with classifier-free guidance, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from codec import CODE_SIZE, to_bytes
from network import FRAMES, TRACK_SIZE, ShapesNetwork, moved

__all__ = ["FRAMES", "GUIDANCE", "STEPS", "decode_frames", "sample_latents"]

STEPS = 24
GUIDANCE = 1.5


def sample_latents(
    network: ShapesNetwork,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    on_step: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Latents (prompts, CODE_SIZE + TRACK_SIZE), one seed a prompt. `on_step` is called with the number of steps done.

    `guidance` 1 is the plain conditional model. A larger one follows the words more closely, with less variety.
    The noise is drawn on the CPU, so a seed gives the same noise on every device.
    """
    nothing = torch.zeros(len(prompts), 1)
    return network.flow.sample(prompts, seeds, nothing, steps=steps, guidance=guidance, on_step=on_step)


@torch.inference_mode()
def decode_frames(network: ShapesNetwork, latents: torch.Tensor, larger: int = 1) -> torch.Tensor:
    """Frames (n, FRAMES, side, side, 3) of latents, side 64 * `larger`, as uint8 on the CPU."""
    codes, tracks = latents.split([CODE_SIZE, TRACK_SIZE], 1)
    track = moved(tracks @ network.basis)
    made = [
        to_bytes(network.renderer.frames(code[None], one[None], larger)[0][0])
        for code, one in zip(codes, track, strict=True)
    ]
    return torch.stack(made)
