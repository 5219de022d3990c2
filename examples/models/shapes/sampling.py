"""From prompts to frames: rectified flow with classifier-free guidance, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from network import LATENT_SIZE, ShapesNetwork
from words import encode

FRAMES = 24
STEPS = 24
GUIDANCE = 2.0
# Noise levels are spaced as (i / steps) ** SPACING. Steps are smaller while there is mostly noise: what the clip shows,
# and where it moves, is decided there.
SPACING = 1.3


@torch.inference_mode()
def sample_latents(
    network: ShapesNetwork,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    on_step: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Latents (prompts, LATENT_SIZE), one seed a prompt. `on_step` is called with the number of steps done.

    `guidance` 1 is the plain conditional model. A larger one follows the words more closely, with less variety.
    The noise is drawn on the CPU, so a seed gives the same noise on every device.
    """
    device = network.latent_mean.device
    noise = [torch.randn(LATENT_SIZE, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    x = torch.stack(noise).to(device)
    condition = network.prompt(encode([*prompts, *[""] * len(prompts)]).to(device))
    levels = [(index / steps) ** SPACING for index in range(steps + 1)]
    for index in range(steps):
        level = torch.full((2 * len(x),), levels[index], device=device)
        asked, unasked = network.denoiser(torch.cat([x, x]), level, condition).chunk(2)
        x = x + (levels[index + 1] - levels[index]) * (unasked + guidance * (asked - unasked))
        if on_step is not None:
            on_step(index + 1)
    return x * network.latent_spread + network.latent_mean


@torch.inference_mode()
def decode_frames(network: ShapesNetwork, latents: torch.Tensor) -> torch.Tensor:
    """Frames (n, FRAMES, 64, 64, 3) of latents (n, LATENT_SIZE), as uint8 on the CPU."""
    moments = torch.linspace(0, 1, FRAMES, device=latents.device).expand(len(latents), -1)
    pictures = network.decoder(latents, moments)
    return ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
