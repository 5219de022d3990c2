"""The one stage of `upscale`: learn what a picture was before it was made smaller.

`python upscale_stage.py --out SCRATCH` writes SCRATCH/upscale.pt, SCRATCH/upscale.jsonl and
SCRATCH/upscale.safetensors. Stopped, it goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

sys.path.append(str(Path(__file__).resolve().parent.parent / "upscale"))

from journal import Stage
from network import SCALES, UpscaleNetwork
from safetensors.torch import save_file
from scenes import draw_scenes

PICTURES = 12
SIDES = {2: 64, 4: 96}  # pixels of the large pictures


def made_small(pictures: torch.Tensor, scale: int) -> torch.Tensor:
    """The mean of each scale x scale pixels, in whole steps of 0..255."""
    return (functional.avg_pool2d(pictures, scale) * 255).round() / 255


def filmed(pictures: torch.Tensor) -> torch.Tensor:
    """Two thirds of the pictures as a film has them: colour for each 2 x 2 pixels only, and a little noise."""
    red, green, blue = pictures.split(1, 1)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    colour = functional.avg_pool2d(torch.cat([red - light, blue - light], 1), 2)
    colour = functional.interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)
    red, blue = (colour + light).split(1, 1)
    film = torch.cat([red, (light - 0.299 * red - 0.114 * blue) / 0.587, blue], 1)
    film = film + 0.015 * torch.rand(len(film), 1, 1, 1) * torch.randn_like(film)
    return torch.where(torch.rand(len(film), 1, 1, 1) < 0.67, film, pictures)


def train(stage: Stage, network: UpscaleNetwork) -> None:
    sums: list[list[float]] = []
    for number in stage:
        rng = np.random.default_rng([61, number])
        torch.manual_seed(number)
        losses = []
        for scale in SCALES:
            large = torch.from_numpy(draw_scenes(rng, PICTURES, SIDES[scale])).permute(0, 3, 1, 2).contiguous()
            small = made_small(large, scale)
            losses.append((network(filmed(small), scale) - large).abs().mean())
        stage.step(torch.stack(losses).sum())
        sums.append([loss.item() for loss in losses])
        if number % 100 == 0:
            double, fourfold = np.mean(sums[-100:], axis=0)
            stage.write(step=number, error_2x=float(double), error_4x=float(fourfold))
        if number % 500 == 0:
            stage.write(step=number, **check(stage))
    stage.write(step=stage.number, end=True, **check(stage))


@torch.inference_mode()
def check(stage: Stage) -> dict[str, float]:
    """Decibels above bicubic on 24 scenes that training does not draw."""
    network, plain = UpscaleNetwork(), UpscaleNetwork()
    network.load_state_dict(stage.average)
    gains = {}
    for scale in SCALES:
        large = torch.from_numpy(draw_scenes(np.random.default_rng(62), 24, 128)).permute(0, 3, 1, 2).contiguous()
        small = made_small(large, scale)
        wrong = [(one(small, scale).clamp(0, 1) - large).square().mean((1, 2, 3)) for one in (network, plain)]
        gains[f"gain_{scale}x_db"] = (10 * torch.log10(wrong[1] / wrong[0])).mean().item()
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=25.0, help="of CPU time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(60)
    network = UpscaleNetwork()
    stage = Stage("upscale", arguments.out, network, rate=2e-3, steps=arguments.steps, minutes=arguments.minutes)
    stage.write(parameters=sum(one.numel() for one in network.parameters()), torch=torch.__version__)
    train(stage, network)
    network.load_state_dict(stage.average)
    path = arguments.out / "upscale.safetensors"
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)
    stage.write(step=stage.number, end=True, megabytes=path.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
