"""`python -m bench.worker`: how much of a slot's time goes into computing when jobs have media.

Back-to-back jobs of two seconds with 50 MB in and 20 MB of encoded video out, through a node's real agent behind its
layers. Beside it the same load with fetching and encoding in the model, as without Headrace's help. A job holds its
slot without the processor, because two cores cannot compute, encode and serve at once: its seconds stand for those of a
GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import hashlib
import os
import platform
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bench.worker_node import LoneNode
from bench.worker_scheduler import CoreScheduler
from contract.codec import decode_result, encode
from contract.inputs import Failed, Stopped, Succeeded
from contract.names import digest_of, payload_digest
from contract.orders import Payload, PreparedInputs, Run
from contract.prepared import MANIFEST_NAME, MediaFacts, PreparedFile, PreparedManifest, preparation_prefix
from contract.results import attempt_prefix
from runtime.media.decoder_program import find_program

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PAGE = "benchmarks-worker.md"
SECONDS, DECODING_S = 2.0, 0.5
CLIP_BYTES = 50_000_000
WIDTH, HEIGHT, FRAMES, FPS = 960, 540, 60, 24
WARM = 2
"""Jobs that load the model and start the processes that check. They do not count."""
PREPARATION = "1.0.0"
SALT = "ab" * 16
WITHIN_S = 600.0


class Arm(msgspec.Struct, frozen=True):
    name: str
    jobs: int
    busy: float
    """Share of the time from the first computation's begin to the last one's end in which one was going on, 0 to 1."""
    gap_s: float
    """From the end of one computation to the begin of the next, on average."""
    behind_s: float
    """From the end of the last computation until its result was stored."""
    cpu_s: float
    """Of a job: node, children and encoders."""
    raw_bytes: int
    out_bytes: int


class Computed(msgspec.Struct, frozen=True):
    """What the model says of one job, by the machine's monotonic clock."""

    begun: float
    ended: float
    returned: float


def measured(name: str, folder: Path, jobs: int, encoders: int, *, alone: bool, staged: int = 1) -> Arm:
    """`alone`: the model fetches and encodes by itself. `staged`: the policy's staged_per_slot."""
    ffmpeg = str(find_program(""))
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "model.py").write_bytes((HERE / "models" / "clips" / "model.py").read_bytes())
    clip = secrets.token_bytes(CLIP_BYTES)
    sha256 = hashlib.sha256(clip).hexdigest()
    inputs: dict[str, Any] = {"clip": "upload:u-" + "0" * 32, "sha256": sha256, "seconds": SECONDS}
    inputs |= {"decoding": DECODING_S, "width": WIDTH, "height": HEIGHT, "frames": FRAMES, "fps": FPS}
    if alone:  # a model sees its own code: there its clip lies, and its encoder
        (code / "clip").write_bytes(clip)
        (code / "ffmpeg").write_bytes(Path(ffmpeg).read_bytes())
        (code / "ffmpeg").chmod(0o755)
        inputs |= {"clip": str(code / "clip"), "ffmpeg": str(code / "ffmpeg")}
    payload = Payload(msgspec.Raw(msgspec.json.encode(inputs)), SALT)

    def completed(order: Run) -> Run:
        """With what a host fills in, and the media of the job, as if it had been prepared."""
        media = None if alone else prepare(node, order.job, clip, sha256)
        return msgspec.structs.replace(order, payload=payload, prepared=media)

    scheduler = CoreScheduler(payload_digest(SALT, bytes(payload.inputs)), completed, staged)
    node = LoneNode(folder, code, "model:Clips", ffmpeg, encoders, scheduler)
    with node.at_work():
        scheduler.submit(WARM + jobs)
        found, stored_s, cpu_s = run(node, scheduler, WARM + jobs)
    scheduler.close()
    computed = sorted(found, key=lambda one: one.begun)[WARM:]
    span = computed[-1].ended - computed[0].begun
    return Arm(
        name,
        jobs,
        jobs * SECONDS / span,
        (span - jobs * SECONDS) / (jobs - 1),
        stored_s - computed[-1].ended,
        cpu_s / jobs,
        FRAMES * WIDTH * HEIGHT * 3,
        node.store.bytes_put // (WARM + jobs),
    )


def run(node: LoneNode, scheduler: CoreScheduler, jobs: int) -> tuple[list[Computed], float, float]:
    """What the model says of each job, when the last result was stored, and the CPU seconds of those that count."""
    ended, cpu_s = 0, 0.0
    while ended < jobs:
        report = scheduler.said.get(timeout=WITHIN_S)
        if isinstance(report, Failed | Stopped):
            raise RuntimeError(f"expected every job to succeed, found {report}")
        if isinstance(report, Succeeded):
            ended += 1
            if ended == WARM:
                cpu_s = -cpu_used()
    stored_s = time.monotonic()
    cpu_s += cpu_used()
    prefixes = [attempt_prefix(order.job, order.dispatch) for order in scheduler.orders.values()]
    raws = [node.store.get(prefix + MANIFEST_NAME, 0) for prefix in prefixes]
    return [msgspec.json.decode(decode_result(raw).values, type=Computed) for raw in raws], stored_s, cpu_s


def cpu_used() -> float:
    """Of this process, of all its children that have ended, and of those that live with what they started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(one.ru_utime + one.ru_stime for one in used)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended, and counts above
            total += sum(child.cpu_times()[:4])
    return total


def prepare(node: LoneNode, job: str, clip: bytes, sha256: str) -> PreparedInputs:
    """Leave the clip in the store as a CPU worker would. All jobs have a link to one file."""
    prefix = preparation_prefix(job, PREPARATION)
    place = node.store.path(f"{prefix}0.npy")
    first = node.store.folder / "clip"
    if not first.exists():
        first.write_bytes(clip)
    if not place.exists():
        os.link(first, place)
    facts = MediaFacts("mp4", "h264", len(clip), sha256)
    file = PreparedFile("clip", 0, "0.npy", sha256, len(clip), "video", "frames", facts)
    manifest = encode(PreparedManifest(job, PREPARATION, "v", "sha256:00", (file,), secrets.token_hex(16)))
    node.store.path(f"{prefix}{MANIFEST_NAME}").write_bytes(manifest)
    return PreparedInputs(PREPARATION, digest_of(manifest), len(clip))


def page(arms: Sequence[Arm], encoders: int) -> str:
    cores, python = os.cpu_count(), platform.python_version()
    lines = [
        "# Benchmarks: a node and its media",
        "",
        f"`make bench-worker`, {dt.datetime.now(dt.UTC):%Y-%m-%d}, {cores} cores ({machine()}), Python {python}.",
        "",
        f"Back-to-back jobs of {SECONDS:g} s on one slot, each with {CLIP_BYTES / 1e6:g} MB of prepared media in and"
        f" about 20 MB of H.264 out ({FRAMES} frames of noise, {WIDTH} x {HEIGHT}), through a node's real agent behind"
        " its layers. The scheduler is the core in the same process, and the object store a folder. **A job sleeps**:"
        " it holds its slot without the processor, because two cores cannot compute, encode and serve at once, so its"
        f" {SECONDS:g} s stand for those of a GPU. Its frames come one by one in the last {DECODING_S:g} s, as a"
        f" decoder makes them. {encoders} encoders at a time, of one thread. The share counts nothing but those"
        " seconds: reading the clip, handing frames over and waiting for the next order are gaps. Where the model does"
        " it, it copies and checks the clip before, and feeds its encoder frame by frame.",
        "",
        "| who fetches and encodes | jobs | slot computes | gap between two | last result stored after | CPU a job |"
        " frames | out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {arm.name} | {arm.jobs} | {arm.busy:.1%} | {arm.gap_s * 1000:.0f} ms | {arm.behind_s:.1f} s |"
        f" {arm.cpu_s:.1f} s | {arm.raw_bytes / 1e6:.0f} MB | {arm.out_bytes / 1e6:.1f} MB |"
        for arm in arms
    ]
    return "\n".join(lines) + "\n"


def machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__)
    parser.add_argument("--jobs", type=int, default=40, help="of each arm, beside those that warm up")
    parser.add_argument("--encoders", type=int, default=2)
    parser.add_argument("--staged", type=int, default=1, help="the policy's staged_per_slot")
    parser.add_argument("--print", action="store_true", help=f"and do not write docs/{PAGE}")
    given = parser.parse_args()
    arms = []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        for name, alone in (("the node", False), ("the model", True)):
            arms.append(
                measured(name, Path(folder) / name[4:], given.jobs, given.encoders, alone=alone, staged=given.staged)
            )
            print(arms[-1], file=sys.stderr, flush=True)
    written = page(arms, given.encoders)
    if given.print:
        print(written)
    else:
        (DOCS / PAGE).write_text(written)


if __name__ == "__main__":
    main()
