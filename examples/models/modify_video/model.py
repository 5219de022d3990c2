"""`modify-video`: a clip and a prompt in, the clip with what the prompt names changed out.

The node prepares the clip: 12 frames a second of 64 x 64 pixels. The result has as many frames, drawn at 256 x 256.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from codec import SIDE, to_bytes
from edit import FREEDOM, GUIDANCE, STEPS, ModifyNetwork
from media_file import Picture, read_pictures
from safetensors.torch import load_file

FPS = 12
LARGER = 4
SEED_MAX = 2**31 - 1
# Shares of the work that are done when the flow ends; the rest is drawing and encoding.
SAMPLED = 0.3
AUTO = ("adhere_2", "flex_3")  # when the words change something, and when they do not
TOLD_APART = 0.2  # how far codes must be, in spreads of the training data, for the words to have changed something


class Context(Protocol):
    """What the node's runner gives to `predict`."""

    def progress(self, fraction: float, message: str = "") -> None: ...
    def cancelled(self) -> bool: ...
    def video(self, name: str, frames: Any, fps: float) -> int: ...


class Cancelled(Exception):
    """The caller asked to stop before the film was finished."""


class ModifyVideoModel:
    """Loads its weights once, then changes one clip at a time."""

    def load(self, weights_dir: str, device: str, rank: int, world_size: int) -> None:
        """Read `modify_video.safetensors` from `weights_dir`. ValueError when there is more than one rank."""
        if (rank, world_size) != (0, 1):
            raise ValueError(f"modify-video runs on one rank, but was given rank {rank} of {world_size}")
        self.network = ModifyNetwork()
        state = load_file(Path(weights_dir) / "modify_video.safetensors")
        self.network.load_state_dict({name: value.float() for name, value in state.items()})
        self.network.to(device).eval().requires_grad_(False)

    def predict(self, inputs: dict[str, Any], ctx: Context) -> dict[str, Any]:
        """Hand `video.mp4` over to be encoded, made from `inputs`, which match `inputs` in model.yaml."""
        seed = inputs.get("seed")
        if seed is None:
            seed = random.SystemRandom().randint(0, SEED_MAX)
        source = torch.from_numpy(read_pictures(str(inputs["video"]), 4))
        if source.shape[1:3] != (SIDE, SIDE):
            raise ValueError(f"expected frames of {SIDE} x {SIDE} pixels, found {tuple(source.shape[1:3])}")
        mode, track, code, freedom = self.edit(
            source, str(inputs["prompt"]), str(inputs.get("mode", "auto")), int(seed), ctx
        )
        frames = self.draw(source, track, code, freedom, ctx)
        count = ctx.video("video.mp4", frames, FPS)
        ctx.progress(1.0, "done")
        return {"frames": count, "width": SIDE * LARGER, "height": SIDE * LARGER, "fps": FPS, "mode": mode,
                "seed": int(seed)}  # fmt: skip

    def edit(
        self, source: torch.Tensor, prompt: str, mode: str, seed: int, ctx: Context
    ) -> tuple[str, list[torch.Tensor], list[torch.Tensor], float]:
        """The mode that is used; tracks and codes, each of the source and of the result; the mode's freedom."""
        _stop_if_cancelled(ctx)
        track, code = self.network.look(source)
        ctx.progress(0.1, "the clip was looked at")

        def after_step(done: int) -> None:
            ctx.progress(0.1 + (SAMPLED - 0.1) * done / STEPS, f"step {done} of {STEPS}")
            _stop_if_cancelled(ctx)

        modes = AUTO if mode == "auto" else (mode,)
        # The last row has no words: `auto` compares with it.
        prompts = [*[prompt] * len(modes), ""]
        freedoms = [*(FREEDOM[one] for one in modes), FREEDOM[modes[0]]]
        count = len(prompts)
        tracks, codes = self.network.edit(
            track.expand(count, -1, -1), code.expand(count, -1), prompts, freedoms, [seed] * count,
            guidance=GUIDANCE, on_step=after_step,
        )  # fmt: skip
        spread = self.network.flow.spread[: codes.shape[1]]
        apart = ((codes[0] - codes[-1]) / spread).square().mean().sqrt()
        chosen = 0 if len(modes) == 1 or apart > TOLD_APART else 1
        return modes[chosen], [track, tracks[chosen]], [code, codes[chosen]], freedoms[chosen]

    def draw(
        self, source: torch.Tensor, tracks: list[torch.Tensor], codes: list[torch.Tensor], freedom: float, ctx: Context
    ) -> Iterator[Picture]:
        """The result's frames, one by one. The more freedom, the less of the source's background texture is kept."""
        texture = (1 - freedom) * self.network.texture(source, tracks[0], codes[0])
        for number, kept in enumerate(texture):
            _stop_if_cancelled(ctx)
            one = slice(number, number + 1)
            made, covered = self.network.codec.renderer.frames(codes[1][None], tracks[1][None, one], LARGER)
            kept = kept.repeat_interleave(LARGER, 0).repeat_interleave(LARGER, 1)
            ctx.progress(SAMPLED + (0.98 - SAMPLED) * (number + 1) / len(source), "drawing")
            yield to_bytes(made[0, 0] + kept * (1 - covered[0, 0])).numpy()


def _stop_if_cancelled(ctx: Context) -> None:
    if ctx.cancelled():
        raise Cancelled("stopped because the job was cancelled")
