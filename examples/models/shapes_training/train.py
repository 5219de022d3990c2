"""Train the model from nothing: `python train.py --out SCRATCH_DIR`, then `python evaluate.py`.

Writes SCRATCH_DIR/training.jsonl, SCRATCH_DIR/autoencoder.pt and SCRATCH_DIR/shapes.safetensors. The program draws all
data itself and downloads nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "shapes"))

from autoencoder_stage import AutoencoderPlan, encode_pool, train_autoencoder
from clips import split
from encoder import ClipEncoder
from flow_stage import FlowPlan, train_flow
from journal import Journal
from network import ShapesNetwork
from safetensors.torch import save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the log, the checkpoint and the weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--autoencoder", type=Path, help="autoencoder.pt of an earlier run: skip stage one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(20)
    journal = Journal(arguments.out / "training.jsonl")
    training, held_out = split()
    network, encoder = ShapesNetwork(), ClipEncoder()
    stage_one, stage_two = AutoencoderPlan(), FlowPlan()
    journal.write(
        "start", training=len(training), held_out=len(held_out), threads=arguments.threads, torch=torch.__version__,
        parameters=sum(one.numel() for one in network.parameters()), plans=f"{stage_one} {stage_two}",
    )  # fmt: skip
    if arguments.autoencoder is None:
        train_autoencoder(network, encoder, training, held_out, journal, stage_one, seed=21)
        checkpoint = {"encoder": encoder.state_dict(), "decoder": network.decoder.state_dict()}
        torch.save(checkpoint, arguments.out / "autoencoder.pt")
    else:
        checkpoint = torch.load(arguments.autoencoder, weights_only=True)
        encoder.load_state_dict(checkpoint["encoder"])
        network.decoder.load_state_dict(checkpoint["decoder"])
    pool = encode_pool(encoder, training, stage_two.pool, seed=22)
    journal.write("pool", clips=len(pool[2]))
    train_flow(network, pool, held_out, journal, stage_two, seed=23)
    halves = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(halves, arguments.out / "shapes.safetensors")
    journal.write("end", megabytes=(arguments.out / "shapes.safetensors").stat().st_size / 1e6)


if __name__ == "__main__":
    main()
