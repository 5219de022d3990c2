"""The encoder, which only training needs: from a clip to a distribution over the clip's latent.

The encoder sees two close-ups of the thing, cut from two frames, and the thing's path, which the drawing program knows.
With filmed data, a tracker would have to give the path.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from clips import FRAMES, SIDE, Clips, draw
from network import LATENT_SIZE
from torch import nn
from torch.nn import functional

LOOKED_AT = (5, 18)  # frames, of 24
HALF = (SIDE - 1) / 2  # pixels in half a picture
EDGES = (3, 23, 40, 60)  # columns and rows that a close-up shows wherever the thing is
CLOSE = 24  # columns and rows across the thing and a little beyond it


def true_path(clips: Clips) -> torch.Tensor:
    """The thing's place and radius (n, FRAMES, 3) in halves of a picture, as the decoder's path has them."""
    place = torch.from_numpy(clips.centre) / HALF - 1
    return torch.cat([place, torch.from_numpy(clips.radius)[:, :, None] / HALF], 2)


def lines_across(
    clips: Clips, frames: npt.NDArray[np.int64], offsets: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Columns and rows (n, k, 2, count) at `offsets`, in radii from the thing's centre, kept inside the picture."""
    which = np.arange(len(frames))[:, None]
    lines = clips.centre[which, frames][..., None] + clips.radius[which, frames][..., None, None] * offsets
    return np.clip(lines.round(), 0, SIDE - 1).astype(np.int64)


def close_ups(clips: Clips) -> torch.Tensor:
    """Close-ups (n, 2, 28, 28, 3): 24 lines across the thing, and 4 fixed lines that show the background."""
    frames = np.tile(np.array(LOOKED_AT), (len(clips.shape), 1))
    near = lines_across(clips, frames, 1.6 * np.linspace(-1, 1, CLOSE))
    fixed = np.broadcast_to(np.array(EDGES), (*near.shape[:3], len(EDGES)))
    return torch.from_numpy(draw(clips, frames, np.concatenate([near, fixed], -1)))


class ClipEncoder(nn.Module):
    """From close-ups (n, 2, 28, 28, 3) and path (n, FRAMES, 3) to mean and log variance, each (n, LATENT_SIZE)."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 128),
        )
        self.path = nn.Linear(3 * FRAMES, 256)
        self.enter = nn.Linear(2 * 128 + 256, 384)
        self.think = nn.Sequential(nn.GELU(), nn.Linear(384, 384), nn.GELU(), nn.Linear(384, 384))
        self.leave = nn.Linear(384, 2 * LATENT_SIZE)
        self.direct = nn.Linear(3 * FRAMES, LATENT_SIZE)

    def forward(self, seen: torch.Tensor, path: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = self.picture(seen.flatten(0, 1).permute(0, 3, 1, 2)).view(len(seen), -1)
        x = self.enter(torch.cat([pictures, functional.gelu(self.path(path.flatten(1)))], 1))
        x = x + self.think(x)
        mean, log_variance = self.leave(functional.gelu(x)).chunk(2, dim=1)
        return mean + self.direct(path.flatten(1)), log_variance.clamp(-12, 2) - 4
