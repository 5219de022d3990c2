"""The networks of the model.

    prompt's words -> PromptEncoder -> one vector
    noise -> Flow, step by step, led by that vector -> a code and a track
    code, track -> Renderer -> frames

The code says what the thing and its background look like, the track where the thing is and how large at each moment. So
the thing keeps its shape and colour as it moves, by construction. `codec.py`, `flow.py` and `prompt.py` are those of
`modify-video`; the codec's tracker and looks are not used here.
"""

from __future__ import annotations

import torch
from codec import CODE_SIZE, Renderer
from flow import Flow
from torch import nn

FRAMES = 24
MOVES = 3 * FRAMES  # x, y and the radius's logarithm in each frame
TRACK_SIZE = 32  # numbers that say these moves


def moves(track: torch.Tensor) -> torch.Tensor:
    """Tracks (n, FRAMES, 3) to (n, MOVES)."""
    return torch.cat([track[:, :, :2], track[:, :, 2:].log()], 2).flatten(1)


def moved(made: torch.Tensor) -> torch.Tensor:
    """(n, MOVES) to tracks (n, FRAMES, 3) that stay in the picture, as those of the training clips do."""
    place, size = made.view(len(made), FRAMES, 3).split([2, 1], 2)
    size = size.exp().clamp(0.04, 0.5)
    edge = 1 - 1.1 * size
    return torch.cat([place.maximum(-edge).minimum(edge), size], 2)


class ShapesNetwork(nn.Module):
    """What the published weights hold."""

    basis: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.renderer = Renderer()
        self.flow = Flow(CODE_SIZE + TRACK_SIZE, 1, depth=5)
        self.register_buffer("basis", torch.zeros(TRACK_SIZE, MOVES))  # main directions of the training clips' moves
