"""A small convolutional network that makes frames two or four times as large.

It corrects what bicubic interpolation makes of a frame. The corrections of all pixels that come of one pixel are
computed together, as channels, and then put beside each other (pixel shuffle).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SCALES = (2, 4)
WIDTH = 24
DEPTH = 4


class UpscaleNetwork(nn.Module):
    """What the published weights hold: one trunk, and one last layer for each scale."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, WIDTH, 5, padding=2, padding_mode="replicate")
        self.layers = nn.ModuleList(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, padding_mode="replicate") for _ in range(DEPTH)
        )
        self.leave = nn.ModuleDict({
            str(scale): nn.Conv2d(WIDTH, 3 * scale * scale, 3, padding=1, padding_mode="replicate") for scale in SCALES
        })  # fmt: skip
        for layer in self.leave.values():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, frames: torch.Tensor, scale: int) -> torch.Tensor:
        """(n, 3, height, width) in 0..1 -> (n, 3, height * scale, width * scale), about 0..1."""
        hidden = functional.leaky_relu(self.enter(frames - 0.5), 0.1)
        for layer in self.layers:
            hidden = hidden + functional.leaky_relu(layer(hidden), 0.1)
        correction = functional.pixel_shuffle(self.leave[str(scale)](hidden), scale)
        plain = functional.interpolate(frames, scale_factor=scale, mode="bicubic", align_corners=False)
        return plain + correction

    @torch.inference_mode()
    def enlarge(self, frame: torch.Tensor, scale: int) -> torch.Tensor:
        """One frame, uint8 (height, width, 3), to uint8 (height * scale, width * scale, 3) on the CPU."""
        device = self.enter.weight.device
        made = self(frame.to(device).permute(2, 0, 1)[None].float() / 255, scale)[0].permute(1, 2, 0)
        return (made * 255).round().clamp(0, 255).to(torch.uint8).cpu()
