"""What the shapes model gives without any training: the first thing that was tried, and why there is a codec.

`python derived.py SHAPES` writes derived.json. SHAPES is the folder of the shapes model as it was before it was made of
the codec: `git archive 8c4b761 examples/models/shapes | tar -x -C SCRATCH`. Sources are clips that the shapes model
makes itself, so their latents are known and no encoder can be blamed.

- Modify: the source's latent is mixed with noise, and the flow goes on from there with the words for the result. More
  noise is more strength.
- Animate: the looks of one latent, drawn along the path of another that was sampled with the asked motion, and moved so
  that it begins where the first thing is.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes_training"))
sys.path.append(sys.argv[1])

from cases import held_out, modify_cases
from check import look
from check_media import astray, modify_faults, thing
from network import SIDE, ShapesNetwork
from safetensors.torch import load_file
from sampling import GUIDANCE, SPACING, STEPS, decode_frames, sample_latents
from wording import describe
from words import encode

HERE = Path(__file__).resolve().parent

CASES = 60
LEVELS = (0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)


@torch.inference_mode()
def again(network: ShapesNetwork, latents: torch.Tensor, prompts: list[str], level: float) -> torch.Tensor:
    """Latents after the flow from `level` (1 is the source, 0 is noise) with other words."""
    x = (latents - network.latent_mean) / network.latent_spread
    x = level * x + (1 - level) * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    condition = network.prompt(encode([*prompts, *[""] * len(prompts)]))
    levels = [level + (1 - level) * (index / STEPS) ** SPACING for index in range(STEPS + 1)]
    for index in range(STEPS):
        at = torch.full((2 * len(x),), levels[index])
        asked, unasked = network.denoiser(torch.cat([x, x]), at, condition).chunk(2)
        x = x + (levels[index + 1] - levels[index]) * (unasked + GUIDANCE * (asked - unasked))
    return x * network.latent_spread + network.latent_mean


def main() -> None:
    torch.set_num_threads(1)
    network = ShapesNetwork()
    state = load_file(Path(sys.argv[1]) / "weights" / "shapes.safetensors")
    network.load_state_dict({name: value.float() for name, value in state.items()})
    network.eval()
    listed = modify_cases(1, held_out(), CASES)
    rng = random.Random(1)
    before = [describe(rng, one.edit.source, None, complete=True) for one in listed]
    after = [describe(rng, one.edit.result, None, complete=True) for one in listed]
    latents = sample_latents(network, before, list(range(CASES)))
    sources = decode_frames(network, latents).numpy()
    report: dict[str, object] = {"cases": CASES}
    rings = [thing(clip).outline == "ring" for clip, one in zip(sources, listed, strict=True)
             if one.edit.source.shape == "ring"]  # fmt: skip
    report["ring_in_source_is_a_ring"] = f"{sum(rings)}/{len(rings)}"
    table = {}
    for level in LEVELS:
        made = decode_frames(network, again(network, latents, after, level)).numpy()
        changed = [
            not modify_faults(source, clip, one.edit.result.colour, one.edit.result.shape, keeps_track=False)
            for source, clip, one in zip(sources, made, listed, strict=True)
        ]
        kept = [astray(source, clip) <= 3 for source, clip in zip(sources, made, strict=True)]
        table[f"noise {1 - level:.1f}"] = {
            "asked_change_made": float(np.mean(changed)), "track_within_3_px": float(np.mean(kept)),
            "both": float(np.mean([one and other for one, other in zip(changed, kept, strict=True)])),
        }  # fmt: skip
    report["modify"] = table
    others = sample_latents(network, after[1:] + after[:1], list(range(1000, 1000 + CASES)))
    asked = [one.edit.result.motion for one in listed[1:] + listed[:1]]
    with torch.inference_mode():
        moments = torch.linspace(0, 1, 24).expand(CASES, -1)
        first, second = network.decoder.path(latents, moments), network.decoder.path(others, moments)
        path = torch.cat([second[:, :, :2] - second[:, :1, :2] + first[:, :1, :2],
                          second[:, :, 2:] / second[:, :1, 2:] * first[:, :1, 2:]], 2)  # fmt: skip
        lines = torch.arange(SIDE).expand(*moments.shape, 2, -1)
        made = (
            ((network.decoder.render(latents, path, lines) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        )
    inside = (path[:, :, :2].abs() < 1 - path[:, :, 2:]).flatten(1).all(1)
    right = [look(clip).motion == one for clip, one in zip(made, asked, strict=True)]
    report["animate"] = {"motion_follows_prompt": float(np.mean(right)),
                         "stays_in_the_picture": float(inside.float().mean())}  # fmt: skip
    (HERE / "derived.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
