"""A picture and a prompt to a clip: the thing is found, the words give it a track, and it is drawn along that track."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from codec import Codec, to_network
from flow import Flow
from torch import nn

FRAMES = 24
STEPS = 16
GUIDANCE = 1.5
MOVES = 3 * (FRAMES - 1)  # how far x, y and the radius's logarithm are from those in the picture, a frame
MOTION_SIZE = 32  # numbers that say these moves
KNOWN_SIZE = 3


def known(start: torch.Tensor) -> torch.Tensor:
    """What the flow is told of the picture (n, 3): place and size of the thing."""
    return torch.cat([start[:, :2], start[:, 2:].log()], 1)


def moves(track: torch.Tensor) -> torch.Tensor:
    """Tracks (n, FRAMES, 3) as moves from their first frames: (n, MOVES)."""
    told = torch.cat([track[:, :, :2], track[:, :, 2:].log()], 2)
    return (told[:, 1:] - told[:, :1]).flatten(1)


def moved(start: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """Starts (n, 3) and moves (n, MOVES) to tracks (n, FRAMES, 3)."""
    steps = torch.cat([made.new_zeros(len(made), 1, 3), made.view(len(made), FRAMES - 1, 3)], 1)
    size = (start[:, None, 2:].log() + steps[:, :, 2:]).exp().clamp(0.04, 1.0)
    return torch.cat([start[:, None, :2] + steps[:, :, :2], size], 2)


class AnimateNetwork(nn.Module):
    """What the published weights hold."""

    basis: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.codec = Codec()
        self.flow = Flow(MOTION_SIZE, KNOWN_SIZE, depth=3)
        self.register_buffer("basis", torch.zeros(MOTION_SIZE, MOVES))  # main directions of the training clips' moves

    @torch.inference_mode()
    def look(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures, uint8 (n, SIDE, SIDE, 3): where the thing is (n, 3), and its code (n, CODE_SIZE)."""
        seen = to_network(pictures.to(self.basis.device))
        start = self.codec.tracker(seen)
        return start, self.codec.looks(seen, start)[0]

    @torch.inference_mode()
    def animate(
        self,
        start: torch.Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        on_step: Callable[[int], None] | None = None,
    ) -> torch.Tensor:
        """Tracks (n, FRAMES, 3) that begin where the thing is."""
        made = self.flow.sample(prompts, seeds, known(start), steps=steps, guidance=guidance, on_step=on_step)
        return moved(start, made @ self.basis)

    @torch.inference_mode()
    def frames(self, picture: torch.Tensor, track: torch.Tensor, code: torch.Tensor, larger: int = 1) -> torch.Tensor:
        """One clip (FRAMES, side, side, 3), -1..1. Its first frame is `picture`, uint8 (SIDE, SIDE, 3), itself.

        What the code does not say of the picture stays where it is, and the thing passes over it. When the thing has
        gone from its first place, there comes what the rows beside it have.
        """
        made, covered = self.codec.renderer.frames(code[None], track[None], larger)
        given = picture.to(code.device).float() / 127.5 - 1
        given = given.repeat_interleave(larger, 0).repeat_interleave(larger, 1)
        missed = given - made[0, 0]
        first = covered[0, 0]
        beside = 1 - _around(first)
        rows = (missed * beside).sum(1, keepdim=True) / beside.sum(1, keepdim=True).clamp(min=1)
        hidden = (covered[0] - first).clamp(min=0)  # by the thing, which has come there
        left = ((first - covered[0]) * 4).clamp(0, 1) + (1 - beside) * self._gone(track)
        left = left.clamp(0, 1)
        return made[0] + (missed * (1 - left) + rows * left * (1 - covered[0])) * (1 - hidden)

    @staticmethod
    def _gone(track: torch.Tensor) -> torch.Tensor:
        """How far the thing is from its first place and size, 0..1, a frame: (FRAMES, 1, 1, 1)."""
        steps = (track - track[:1]).abs().sum(1) / track[:1, 2]
        return (steps * 4).clamp(0, 1)[:, None, None, None]


def _around(covered: torch.Tensor) -> torch.Tensor:
    """1 on the thing and within a few pixels of it, (side, side, 1)."""
    reach = 1 + 2 * (len(covered) // 32)
    grown = nn.functional.max_pool2d(covered[None, :, :, 0], reach, stride=1, padding=reach // 2)
    return (grown[0, :, :, None] > 0.05).float()
