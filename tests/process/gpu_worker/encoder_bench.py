"""A node whose model hands pictures over, with a program in ffmpeg's place that does first what a test asks for.

`python -m tests.process.gpu_worker.encoder_bench DIRECTORY` is such a node with an encoder that stands still, until it
is killed: it prints a line as soon as the encoder is at work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from contract.codec import decode_result
from contract.inputs import NodeHeartbeat
from contract.orders import Run
from contract.results import MANIFEST_NAME, ResultManifest, attempt_prefix
from runtime.media.decoder_program import find_program
from runtime.worker.canary_flight import probe
from runtime.worker.confinement import Confinement, confinement, forms
from tests.process.gpu_worker.agent_table import Table, running
from tests.waiting import until

FFMPEG = str(find_program(""))
WIDTH, HEIGHT, FRAMES, FPS = 64, 48, 12, 24
MODEL = """
import os, time

class Model:
    def load(self, weights_dir, device, rank, world_size): pass
    def predict(self, inputs, ctx):
        width, height = inputs.get("width", 64), inputs.get("height", 48)
        def frame(n):
            return memoryview(bytes((x * 4 + n * 8) % 256 for x in range(width)
                                    for _ in "rgb") * height).cast("B", (height, width, 3))
        how = inputs.get("how", "video")
        if how == "video":
            ctx.video("video.mp4", (frame(n) for n in range(inputs.get("frames", 12))), 24)
        if how == "image":
            ctx.image("still.png", frame(0))
            ctx.image("photo.jpg", frame(1))
        if how == "both":
            with open(ctx.output("notes.txt"), "w") as notes: notes.write("words")
            ctx.video("a.mp4", [frame(0)], 29.97)
            ctx.video("b.mp4", [frame(0)], 24)
        if how == "lie":
            ctx.video("video.mp4", [frame(0)], 24)
            ctx.media[0].update(inputs["lie"])
        if how == "cut":
            ctx.video("video.mp4", [frame(0)], 24)
            os.truncate(os.path.join(ctx._directory, "_0.rgb"), 100)
        if how == "link":
            ctx.video("video.mp4", [frame(0)], 24)
            path = os.path.join(ctx._directory, "_0.rgb")
            os.unlink(path)
            os.symlink("/etc/passwd", path)
        return {"pid": os.getpid()}
"""


def held_off(folder: Path) -> Confinement:
    facts = probe()
    root = folder / "root"
    root.mkdir()
    return confinement(forms(facts)[0], facts, root, [folder], {})


@contextmanager
def node(folder: Path, **how: Any) -> Iterator[Table]:
    usual: dict[str, Any] = {"heartbeat_ms": 20, "model": MODEL, "encoder": FFMPEG}
    how = usual | {"confinement": held_off(folder)} | how
    with running(Table(folder, **how)) as table:
        yield table


def manifest(table: Table, run: Run) -> ResultManifest:
    return decode_result(stored(table, run, MANIFEST_NAME))


def stored(table: Table, run: Run, name: str) -> bytes:
    return table.store.objects[attempt_prefix(run.job, run.dispatch) + name]


def heartbeat(table: Table) -> NodeHeartbeat:
    """The node's last."""
    last: NodeHeartbeat = until(lambda: table.broker.said(NodeHeartbeat))[-1]
    return last


def asking(table: Table, text: str = "{}") -> Run:
    return table.asking(text.encode())


def is_clean(folder: Path) -> bool:
    """Nothing of any attempt is left on the node's disk."""
    return not list((folder / "scratch" / "attempts").iterdir()) and not list((folder / "scratch" / "gone").iterdir())


def stand_in(folder: Path, kind: str) -> str:
    """A program in ffmpeg's place that does first what the kind says; `ffmpeg` is then asked to do the work."""
    place = folder / "program"
    place.mkdir(mode=0o755)
    program = place / kind
    does = {
        "slow": f'while [ -e "{place}/wait" ]; do sleep 0.02; done; exec "{FFMPEG}" "$@"',
        "hang": 'trap "" TERM; touch hangs; sleep 1000',
        "crash": 'echo "out of words" >&2; exit 7',
        "signal": "kill -SEGV $$",
        "once": f'if mkdir "$HOME/tried" 2>/dev/null; then exit 9; fi; exec "{FFMPEG}" "$@"',
        "memory": "exec python3 -c 'bytearray(6 * 2**30)'",
        "silent": "exit 0",
        "babble": "yes >&2",
    }[kind]
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    (place / "wait").touch()
    return str(program)


def let_go(folder: Path) -> None:
    (folder / "program" / "wait").unlink()


def at_work(folder: Path) -> list[psutil.Process]:
    """The processes of the attempts' encoders, whoever started them."""
    prefix = f"{folder}/scratch/attempts/"
    return [one for one in psutil.process_iter() if _home(one).startswith(prefix)]


def _home(process: psutil.Process) -> str:
    try:
        return process.environ().get("HOME", "")
    except psutil.Error:
        return ""


def main(folder: Path) -> None:
    with node(folder, encoder=stand_in(folder, "hang")) as table:
        table.take(asking(table))
        until(lambda: is_hanging(folder))
        print("at work", flush=True)
        time.sleep(3600)


def is_hanging(folder: Path) -> bool:
    """The stand-in has begun to stand still."""
    return any((path / "hangs").exists() for path in (folder / "scratch" / "attempts").glob("*/encoded"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
