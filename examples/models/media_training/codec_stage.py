"""First stage: learn to follow a thing through frames, to say what it looks like, and to draw it again.

`python codec_stage.py --out SCRATCH` writes SCRATCH/codec.pt and SCRATCH/codec.jsonl. Stopped, it goes on. The networks
see frames only; the track that the drawing program knows is what the tracker is compared with.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes_training"))
sys.path.append(str(Path(__file__).resolve().parent.parent / "image_to_video"))

from clips import FRAMES, Clips, Combination, draw, plan, split
from codec import HALF, SIDE, Codec, to_bytes, to_network
from journal import Stage

CLIPS = 32
SEEN = 3  # frames of each clip and step
NEAR, ANYWHERE = 288, 64  # pixels of each frame that are drawn again and compared
INFORMATION_PRICE = 1e-4  # per nat of the code


def true_track(clips: Clips) -> torch.Tensor:
    """(n, FRAMES, 3), as the tracker has it."""
    place = torch.from_numpy(clips.centre) / HALF - 1
    return torch.cat([place, torch.from_numpy(clips.radius)[:, :, None] / HALF], 2)


def worn(frames: torch.Tensor) -> torch.Tensor:
    """Frames (n, 3, SIDE, SIDE) as a camera, an encoder and a change of size may leave them."""
    count = len(frames)
    blurred = functional.avg_pool2d(functional.pad(frames, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    frames = frames.lerp(blurred, 0.6 * torch.rand(count, 1, 1, 1) * (torch.rand(count, 1, 1, 1) < 0.5))
    frames = frames * (1 + 0.06 * torch.randn(count, 1, 1, 1)) + 0.04 * torch.randn(count, 1, 1, 1)
    return frames + torch.randn_like(frames) * 0.06 * torch.rand(count, 1, 1, 1)


def pixels_to_learn(track: torch.Tensor) -> torch.Tensor:
    """Columns and rows (n, k, NEAR + ANYWHERE, 2) of pixels: most on the thing and around it."""
    count, frames = track.shape[:2]
    middle = (track[:, :, None, :2] + 1) * HALF
    near = middle + track[:, :, None, 2:] * HALF * 1.5 * (2 * torch.rand(count, frames, NEAR, 2) - 1)
    anywhere = torch.rand(count, frames, ANYWHERE, 2) * (SIDE - 1)
    return torch.cat([near, anywhere], 2).round().clamp(0, SIDE - 1).long()


def drawn(
    rng: np.random.Generator, combinations: list[Combination], frames: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random frames of new clips: pictures (n, k, SIDE, SIDE, 3), -1..1, how much of each pixel the thing covers
    (n, k, SIDE, SIDE, 1), and the thing's track (n, k, 3)."""
    clips = plan(rng, combinations)
    moments = rng.integers(0, FRAMES, (len(combinations), frames))
    track = true_track(clips)[torch.arange(len(combinations))[:, None], torch.from_numpy(moments)]
    ones = np.ones_like(clips.top)
    covered = draw(replace(clips, colour=ones, top=-ones, bottom=-ones), moments)[..., :1] / 2 + 0.5
    return torch.from_numpy(draw(clips, moments)), torch.from_numpy(covered), track


def train(stage: Stage, codec: Codec) -> None:
    training, held_out = split()
    sums: list[tuple[float, ...]] = []
    for number in stage:
        rng = np.random.default_rng([31, number])
        torch.manual_seed(number)
        chosen = [training[index] for index in rng.integers(0, len(training), CLIPS)]
        clean, covered, told = drawn(rng, chosen, SEEN)
        seen = worn(clean.flatten(0, 1).permute(0, 3, 1, 2)).contiguous()
        track = codec.tracker(seen)
        astray = (track - told.flatten(0, 1)).abs().mean(0)
        near = told[:, 0] + torch.randn(CLIPS, 3) * 0.03 * told[:, 0, 2:]
        mean, log_variance = codec.looks(seen.view(CLIPS, SEEN, 3, SIDE, SIDE)[:, 0], near)
        code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        pixels = pixels_to_learn(told)
        rows, columns = pixels[..., 1].flatten(0, 1), pixels[..., 0].flatten(0, 1)
        frame = torch.arange(CLIPS * SEEN)[:, None]
        target = clean.flatten(0, 1)[frame, rows, columns].view(*pixels.shape[:3], 3)
        inside = covered.flatten(0, 1)[frame, rows, columns].view(*pixels.shape[:3], 1)
        made, depth = codec.renderer(code, told, pixels / HALF - 1)
        error = (made - target).abs()
        picture = (error + error * error).mean()
        outline = functional.binary_cross_entropy_with_logits(depth, inside)
        information = 0.5 * (mean * mean + log_variance.exp() - 1 - log_variance).sum(1).mean()
        stage.step(picture + 0.5 * outline + 4 * astray.sum() + INFORMATION_PRICE * information)
        sums.append((picture.item(), outline.item(), *(HALF * astray).tolist(), information.item()))
        if number % 100 == 0:
            values = np.mean(sums[-100:], axis=0)
            names = ("picture", "outline", "x_px", "y_px", "radius_px", "nats")
            stage.write(step=number, **dict(zip(names, map(float, values), strict=True)))
        if number % 500 == 0:
            stage.write(step=number, **check(stage, held_out))
    stage.write(step=stage.number, end=True, **check(stage, held_out))


@torch.inference_mode()
def check(stage: Stage, held_out: list[Combination]) -> dict[str, float]:
    """Follow and draw again 48 held-out clips: pixels astray, and the worst of each clip's PSNR to its source."""
    codec = Codec()
    codec.load_state_dict(stage.average)
    pictures, _, told = drawn(np.random.default_rng(7), held_out[:48], 6)
    frames = to_network(to_bytes(pictures).flatten(0, 1))
    track = codec.tracker(frames).view(48, 6, 3)
    code = codec.looks(frames, track.flatten(0, 1))[0].view(48, 6, -1).mean(1)
    error = (codec.renderer.frames(code, track)[0].clamp(-1, 1) - pictures) / 2
    psnr = -10 * torch.log10(error.square().mean((1, 2, 3, 4)))
    off = (track - told)[:, :, :2].norm(dim=2) * HALF
    return {"psnr_mean": psnr.mean().item(), "psnr_worst": psnr.min().item(),
            "off_px_mean": off.mean().item(), "off_px_worst": off.max().item()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=25.0, help="of CPU time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(30)
    codec = Codec()
    stage = Stage("codec", arguments.out, codec, rate=2e-3, steps=arguments.steps, minutes=arguments.minutes)
    stage.write(parameters=sum(one.numel() for one in codec.parameters()), torch=torch.__version__)
    train(stage, codec)


if __name__ == "__main__":
    main()
