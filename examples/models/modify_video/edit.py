"""A clip and a prompt to a changed clip: the thing is followed, its looks are changed, and it is drawn again.

`freedom`, 0 to 1, is how far the result may go from the source. At 0 only what the prompt names changes. More freedom
changes light and size, then what nobody named, and from 0.6 on the track too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from codec import CODE_SIZE, SIDE, Codec, to_network
from flow import Flow
from torch import nn
from torch.nn import functional

FREEDOM = {
    "adhere_1": 0.0,
    "adhere_2": 0.15,
    "adhere_3": 0.27,
    "flex_1": 0.35,
    "flex_2": 0.45,
    "flex_3": 0.57,
    "reimagine_1": 0.7,
    "reimagine_2": 0.85,
    "reimagine_3": 1.0,
}
STEPS = 16
GUIDANCE = 1.0  # more goes away from what the source looks like, not only towards the words
WAVES = 4
CHANGE_SIZE = 1 + 2 * WAVES  # of a track: the radius, and slow waves of x and y
SUMMARY_SIZE = 2 * WAVES + 6
KNOWN_SIZE = CODE_SIZE + SUMMARY_SIZE + 1
LOOKED_AT = 8  # frames from which a clip's looks are taken


def waves(frames: int, device: torch.device) -> torch.Tensor:
    """Cosines of none to three half turns over the clip: (WAVES, frames)."""
    part = torch.linspace(0, math.pi, frames, device=device)
    return torch.cos(part * torch.arange(WAVES, device=device)[:, None])


def summary(track: torch.Tensor) -> torch.Tensor:
    """Tracks (n, k, 3) of any number of frames in few numbers: (n, SUMMARY_SIZE)."""
    place, radius = track.split([2, 1], 2)
    slow = torch.einsum("nkc,wk->nwc", place, waves(track.shape[1], track.device)).flatten(1) / track.shape[1]
    low, high = (place - radius).amin(1), (place + radius).amax(1)
    size = radius.clamp(min=0.01).log()
    return torch.cat([slow, low, high, size.mean(1), size[:, -1] - size[:, 0]], 1)


def changed_track(track: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Tracks (n, k, 3) moved and scaled by changes (n, CHANGE_SIZE)."""
    moved = torch.einsum("nwc,wk->nkc", change[:, 1:].view(-1, WAVES, 2), waves(track.shape[1], track.device))
    return torch.cat([track[:, :, :2] + moved, track[:, :, 2:] * change[:, :1, None].exp()], 2)


class ModifyNetwork(nn.Module):
    """What the published weights hold."""

    def __init__(self) -> None:
        super().__init__()
        self.codec = Codec()
        self.flow = Flow(CODE_SIZE + CHANGE_SIZE, KNOWN_SIZE, depth=4)

    @torch.inference_mode()
    def look(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of one clip, uint8 (k, SIDE, SIDE, 3): its track (k, 3) and its code (CODE_SIZE,)."""
        seen = to_network(frames.to(self.flow.mean.device))
        track = torch.cat([self.codec.tracker(part) for part in seen.split(64)])
        some = torch.linspace(0, len(seen) - 1, LOOKED_AT, device=seen.device).round().long()
        return track, self.codec.looks(seen[some], track[some])[0].mean(0)

    def edit(
        self,
        tracks: torch.Tensor,
        codes: torch.Tensor,
        prompts: Sequence[str],
        freedoms: Sequence[float],
        seeds: Sequence[int],
        *,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        on_step: Callable[[int], None] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """New tracks (n, k, 3) and codes (n, CODE_SIZE) from those of the sources."""
        freedom = torch.tensor(freedoms, device=codes.device, dtype=torch.float32)[:, None]
        known = torch.cat([codes, summary(tracks), freedom], 1)
        made = self.flow.sample(prompts, seeds, known, steps=steps, guidance=guidance, on_step=on_step)
        code, change = made.split([CODE_SIZE, CHANGE_SIZE], 1)
        return changed_track(tracks, change), code

    @torch.inference_mode()
    def texture(self, frames: torch.Tensor, track: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """What the code does not say of one clip's background. `frames` and result: (k, SIDE, SIDE, 3).

        Behind the thing there is what other frames show at that place; where none does, what the rows beside it have.
        """
        parts = zip(frames.split(24), track.split(24), strict=True)
        found = [self._missed(*part, code) for part in parts]
        missed, beside = torch.cat([one[0] for one in found]), torch.cat([one[1] for one in found])
        rows = (missed * beside).sum(2, keepdim=True) / beside.sum(2, keepdim=True).clamp(min=1)
        seen = beside.sum(0, keepdim=True)
        behind = torch.where(seen >= 1, (missed * beside).sum(0, keepdim=True) / seen.clamp(min=1), rows)
        return missed * beside + behind * (1 - beside)

    def _missed(
        self, frames: torch.Tensor, track: torch.Tensor, code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the code does not say of frames, and how surely each pixel is beside the thing: 0 or 1, or between."""
        plain = self.codec.renderer.frames(code[None], track[None])[0][0]
        line = torch.linspace(-1, 1, SIDE, device=code.device)
        across = (line - track[:, 0, None]) / track[:, 2, None]
        down = (line - track[:, 1, None]) / track[:, 2, None]
        away = torch.maximum(across.abs()[:, None, :], down.abs()[:, :, None])
        beside = functional.hardtanh(2 * (away - 1.3), 0, 1)[..., None]
        return frames.to(code.device).float() / 127.5 - 1 - plain, beside
