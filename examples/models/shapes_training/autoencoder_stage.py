"""Stage one: learn to encode a clip as 64 numbers and to decode these numbers.

Encoder and decoder are trained together as a variational autoencoder. A very small price on the latent's information
keeps the latent smooth. The shape covers a twentieth of the picture, so each step learns mostly from pixels on the
shape and just around it. The decoder's path is also compared with the true path of the training clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from check import look
from clips import FRAMES, SIDE, Clips, Combination, draw, plan
from encoder import HALF, ClipEncoder, close_ups, lines_across, true_path
from journal import Journal, learning_rate, part_done, step
from network import ShapesNetwork
from sampling import decode_frames


@dataclass(frozen=True)
class AutoencoderPlan:
    steps: int = 2500
    minutes: float = 8.0  # the stage ends after this time on a slow machine; the learning rate falls with it
    clips: int = 32  # a step
    frames: int = 2  # of each clip, decoded and compared
    moments: int = 6  # of each clip's path, compared
    rate: float = 2e-3
    path_weight: float = 4.0
    led: float = 0.5  # part of the training in which some clips are rendered along the true path
    information_price: float = 1e-4  # per nat of the whole latent


def train_autoencoder(
    network: ShapesNetwork,
    encoder: ClipEncoder,
    training: list[Combination],
    held_out: list[Combination],
    journal: Journal,
    how: AutoencoderPlan,
    seed: int,
) -> None:
    """Train `encoder` and `network.decoder` in place."""
    rng = np.random.default_rng(seed)
    path_parameters = list(network.decoder.path.parameters())
    content_parameters = [one for name, one in network.decoder.named_parameters() if not name.startswith("path.")]
    groups = [{"params": part} for part in (list(encoder.parameters()), path_parameters, content_parameters)]
    optimiser = torch.optim.AdamW(groups, lr=how.rate, betas=(0.9, 0.98), weight_decay=1e-3, fused=True)
    rows = torch.arange(how.clips)[:, None]
    losses: list[tuple[float, float, float]] = []
    for number, done in part_done(how.steps, how.minutes):
        clips = plan(rng, [training[index] for index in rng.integers(0, len(training), how.clips)])
        moments = rng.integers(0, FRAMES, (how.clips, how.moments))
        wanted = moments[:, : how.frames]
        lines = _lines_to_learn(rng, clips, wanted)
        target = torch.from_numpy(draw(clips, wanted, lines))
        path_taken = true_path(clips)
        mean, log_variance = encoder(close_ups(clips), path_taken)
        latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        path = network.decoder.path(latent, torch.from_numpy(moments).float() / (FRAMES - 1))
        told = path_taken[rows, torch.from_numpy(moments)]
        led = torch.rand(how.clips, 1, 1) < 1 - done / how.led
        followed = torch.where(led, told, path.detach())[:, : how.frames]
        error = (network.decoder.render(latent, followed, torch.from_numpy(lines)) - target).abs()
        picture = (error + error * error).mean()
        astray = (path - told).abs().mean()
        information = 0.5 * (mean * mean + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = picture + how.path_weight * astray + how.information_price * information
        step(optimiser, loss, learning_rate(how.rate, done))
        losses.append((picture.item(), astray.item(), information.item()))
        if number % 50 == 0:
            averages = np.mean(losses[-50:], axis=0)
            journal.write(
                "autoencoder",
                step=number,
                picture=float(averages[0]),
                path_px=float(averages[1]) * HALF,
                nats=float(averages[2]),
            )
        if number % 500 == 0:
            journal.write("autoencoder-check", step=number, **_check(network, encoder, held_out))
    journal.write("autoencoder-check", step=number, **_check(network, encoder, held_out))


def _lines_to_learn(rng: np.random.Generator, clips: Clips, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Columns and rows (n, k, 2, 24): 18 across the thing and a little beyond it, 6 anywhere."""
    shape = (*frames.shape, 2)
    near = lines_across(clips, frames, 1.6 * (np.linspace(-1, 1, 18) + rng.uniform(-0.05, 0.05, (*shape, 18))))
    return np.concatenate([near, rng.integers(0, SIDE, (*shape, 6))], -1)


@torch.inference_mode()
def _check(network: ShapesNetwork, encoder: ClipEncoder, held_out: list[Combination]) -> dict[str, float]:
    """Encode and decode 50 clips of held-out combinations: the share whose colour and motion the check names right."""
    clips = plan(np.random.default_rng(7), held_out[:50])
    pictures = draw(clips, np.tile(np.arange(FRAMES), (50, 1)))
    latent, _ = encoder(close_ups(clips), true_path(clips))
    frames = decode_frames(network, latent).numpy()
    truth = (pictures + 1) / 2
    error = np.abs(frames / 255 - truth).mean(-1)
    thing = np.abs(truth - truth[:, :, :, :1]).max(-1) > 0.1
    seen = [look(one) for one in frames]
    right = [
        (see.colour, see.motion) == (one.colour, one.motion) for see, one in zip(seen, clips.combinations, strict=True)
    ]
    return {"right": float(np.mean(right)), "shape_error": float(error[thing].mean())}


@torch.inference_mode()
def encode_pool(
    encoder: ClipEncoder, training: list[Combination], count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, list[tuple[Combination, str]]]:
    """Latents of `count` new training clips: mean and spread (count, LATENT_SIZE), and what each clip shows."""
    rng = np.random.default_rng(seed)
    means: list[torch.Tensor] = []
    spreads: list[torch.Tensor] = []
    shown: list[tuple[Combination, str]] = []
    for _ in range(0, count, 64):
        clips = plan(rng, [training[index] for index in rng.integers(0, len(training), 64)])
        mean, log_variance = encoder(close_ups(clips), true_path(clips))
        means.append(mean)
        spreads.append(torch.exp(0.5 * log_variance))
        shown.extend(zip(clips.combinations, clips.sizes, strict=True))
    return torch.cat(means).clone(), torch.cat(spreads).clone(), shown
