"""From frames to a track and a code, and from track and code back to frames.

    frame -> Tracker -> where the thing is, and how large
    close-up of the thing, small picture of the whole -> Looks -> code: what the thing and its background look like
    code, track -> Renderer -> frames

The code says nothing of place, size or time. So a thing with another code keeps its motion, and a thing with another
track keeps its looks. Frames are (n, 3, SIDE, SIDE), -1..1. A track is (n, 3) a frame: x and y in -1..1, and the
radius in halves of a picture.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SIDE = 64
HALF = (SIDE - 1) / 2  # pixels in half a picture
CODE_SIZE = 32
CLOSE = 24  # pixels along a side of a close-up
AROUND = 1.6  # radii from the middle of a close-up to its side
REACH = 1.8  # radii from the thing's middle beyond which nothing of the thing is drawn in large frames


class Tracker(nn.Module):
    """Frames (n, 3, SIDE, SIDE) to tracks (n, 3).

    One map of weights over the picture says where the thing is: the place is the mean place under these weights.
    """

    MAP = 16
    places: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(24, 32, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.whole = nn.Linear(32 * 16, 32)
        self.deeper = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
        )
        self.weight = nn.Conv2d(32, 1, 1)
        self.size = nn.Sequential(nn.Linear(2 * 32 + 2, 64), nn.ReLU(), nn.Linear(64, 1))
        # Middles of the map's cells in a picture's coordinates: a cell covers four pixels.
        middles = (torch.arange(self.MAP) * 4 - HALF) / HALF
        self.register_buffer("places", torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1).view(-1, 2))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        hidden = self.layers(frames)
        context = self.whole(functional.adaptive_avg_pool2d(hidden, 4).flatten(1))
        hidden = self.deeper(hidden + context[:, :, None, None])
        weights = self.weight(hidden).flatten(1).softmax(1)
        place = weights @ self.places
        spread = (weights @ (self.places * self.places) - place * place).clamp(min=0).sqrt()
        seen = hidden.flatten(2)
        here = (seen @ weights[:, :, None]).squeeze(2)
        size = self.size(torch.cat([here, seen.mean(2), spread], 1))
        return torch.cat([place, 0.03 + 0.2 * functional.softplus(size)], 1)


def close_ups(frames: torch.Tensor, track: torch.Tensor) -> torch.Tensor:
    """Cut the thing out of each frame: (n, 3, CLOSE, CLOSE). Beyond the picture, its edge goes on."""
    offsets = torch.linspace(-AROUND, AROUND, CLOSE, device=frames.device)
    columns = track[:, 0, None] + track[:, 2, None] * offsets
    rows = track[:, 1, None] + track[:, 2, None] * offsets
    grid = torch.stack([columns[:, None, :].expand(-1, CLOSE, -1), rows[:, :, None].expand(-1, -1, CLOSE)], -1)
    return functional.grid_sample(frames, grid, padding_mode="border", align_corners=True)


class Looks(nn.Module):
    """Frames and their tracks to codes: mean and log variance, each (n, CODE_SIZE)."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Sequential(
            nn.Conv2d(3, 24, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(24, 48, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(48 * 6 * 6, 128),
        )
        self.whole = nn.Linear(3 * 8 * 8, 64)
        self.leave = nn.Sequential(nn.GELU(), nn.Linear(192, 128), nn.GELU(), nn.Linear(128, 2 * CODE_SIZE))

    def forward(self, frames: torch.Tensor, track: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        near = self.near(close_ups(frames, track))
        whole = self.whole(functional.adaptive_avg_pool2d(frames, 8).flatten(1))
        mean, log_variance = self.leave(torch.cat([near, whole], 1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 2) - 4


class Renderer(nn.Module):
    """Codes and tracks to pixels.

    A small network, whose layers the code shifts and scales, says how deep inside the thing a point lies, in radii.
    The radius in pixels makes of the depth how much of the pixel belongs to the thing, so an edge is one pixel wide at
    every size. The code gives the colours: of the thing, of the background, and how that changes from top to bottom.
    """

    LAYERS = ((17, 64), (64, 32), (32, 1))

    def __init__(self) -> None:
        super().__init__()
        self.content = nn.Sequential(nn.Linear(CODE_SIZE, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU())
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in self.LAYERS)
        self.modulation = nn.Linear(128, 2 * sum(outputs for _, outputs in self.LAYERS))
        self.palette = nn.Linear(CODE_SIZE, 9)

    def forward(
        self, code: torch.Tensor, track: torch.Tensor, points: torch.Tensor, sharp: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """code (n, CODE_SIZE), track (n, k, 3), points (n, k, m, 2) in -1..1 -> colours (n, k, m, 3), about -1..1, and
        how surely each point belongs to the thing (n, k, m, 1): 0 on an edge, more inside.

        `sharp` is how many pixels there are to each of SIDE x SIDE: edges are as much thinner.
        """
        relative = (points - track[:, :, None, :2]) / track[:, :, None, 2:]
        x = _features(relative)
        scales, shifts = self.modulation(self.content(code)).chunk(2, dim=1)
        widths = [outputs for _, outputs in self.LAYERS]
        parts = zip(self.layers, scales.split(widths, 1), shifts.split(widths, 1), strict=True)
        for number, (layer, scale, shift) in enumerate(parts):
            x = functional.linear(x, layer.weight) * (1 + scale)[:, None, None] + (shift + layer.bias)[:, None, None]
            if number < len(widths) - 1:
                x = functional.leaky_relu(x, 0.05)
        depth = x * (4 * HALF * sharp) * track[:, :, None, 2:]
        colour = self.palette(code)[:, None, None, :3]
        ground = self.ground(code, points[..., 1:])
        return ground + depth.sigmoid() * (colour - ground), depth

    def ground(self, code: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        """The background's colours (n, k, m, 3) at places `down` (n, k, m, 1) from -1, the top, to 1."""
        back, change = self.palette(code)[:, None, None, 3:].split(3, 3)
        return back + change * down

    def frames(self, code: torch.Tensor, track: torch.Tensor, larger: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole frames (n, k, side, side, 3), where side is SIDE * `larger`, and how much of each pixel is the thing's.

        Each pixel of SIDE x SIDE becomes `larger` x `larger` pixels, drawn finer and not only shown larger. Large
        frames are drawn one by one, and the thing only near its middle: that takes a twentieth of the time.
        """
        line = ((torch.arange(SIDE * larger, device=code.device) + 0.5) / larger - 0.5) / HALF - 1
        if larger == 1:
            return self._part(code, track, line, line, 1)
        pairs = [(number, moment) for number in range(len(code)) for moment in range(track.shape[1])]
        made = [self._large(code[n : n + 1], track[n : n + 1, k : k + 1], line, larger) for n, k in pairs]
        shape = (*track.shape[:2], len(line), len(line), -1)
        return torch.cat([one[0] for one in made]).view(shape), torch.cat([one[1] for one in made]).view(shape)

    def _part(
        self, code: torch.Tensor, track: torch.Tensor, across: torch.Tensor, down: torch.Tensor, larger: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The pixels where columns `across` and rows `down` cross."""
        points = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).view(1, 1, -1, 2)
        pictures, depth = self(code, track, points.expand(*track.shape[:2], -1, -1), float(larger))
        shape = (*track.shape[:2], len(down), len(across), -1)
        return pictures.view(shape), depth.sigmoid().view(shape)

    def _large(
        self, code: torch.Tensor, track: torch.Tensor, line: torch.Tensor, larger: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One frame."""
        side = len(line)
        picture = self.ground(code, line.view(1, 1, -1, 1))[0, 0][:, None].repeat(1, side, 1)
        covered = picture.new_zeros(side, side, 1)
        first = torch.searchsorted(line, (track[0, 0, :2] - REACH * track[0, 0, 2]).contiguous()).tolist()
        last = torch.searchsorted(line, (track[0, 0, :2] + REACH * track[0, 0, 2]).contiguous()).tolist()
        if last[0] > first[0] and last[1] > first[1]:
            near = slice(first[1], last[1]), slice(first[0], last[0])
            pictures, parts = self._part(code, track, line[near[1]], line[near[0]], larger)
            picture[near], covered[near] = pictures[0, 0], parts[0, 0]
        return picture, covered


def _features(relative: torch.Tensor) -> torch.Tensor:
    """What the renderer is told of a point (..., 2), given in radii from the thing's middle: (..., 17)."""
    near = relative.clamp(-2.5, 2.5)
    x, y = near.split(1, -1)
    radius = (near * near).sum(-1, keepdim=True).add(1e-6).sqrt()
    cosine, sine = x / radius, y / radius
    waves = [cosine, sine]
    for _ in range(4):  # cosine and sine of two to five times the angle
        waves += [waves[-2] * cosine - waves[-1] * sine, waves[-1] * cosine + waves[-2] * sine]
    inner = radius.clamp(max=1.0)
    return torch.cat([x, y, x.abs(), y.abs(), radius, radius.clamp(max=1.5) ** 2, (x * y).clamp(-2, 2),
                      *(wave * inner for wave in waves)], -1)  # fmt: skip


class Codec(nn.Module):
    """The three networks together."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker()
        self.looks = Looks()
        self.renderer = Renderer()


def to_network(frames: torch.Tensor) -> torch.Tensor:
    """uint8 (n, SIDE, SIDE, 3) to what the networks see: (n, 3, SIDE, SIDE), -1..1."""
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(frames: torch.Tensor) -> torch.Tensor:
    """-1..1 to uint8 on the CPU."""
    return ((frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
