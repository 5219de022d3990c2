"""A scheduler by hand and a node agent as a process, for tests that play both sides of the dispatch topic."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contract.codec import Malformed, decode_wire, encode
from contract.inputs import (
    AttemptReport,
    Failed,
    JobSubmitted,
    NodeHeartbeat,
    NodeJoined,
    NodeReport,
    Started,
    Stopped,
    Submission,
    Succeeded,
    Wire,
)
from contract.names import dispatch_id, payload_digest
from contract.orders import Order, Payload, Run
from contract.topics import JOBS, dispatch_topic
from runtime.kafka import Producer, Reader
from runtime.settings import Settings
from tests.waiting import until

DEADLINE_S = 30.0
SALT = "00" * 16

_numbers = itertools.count()

Found = TypeVar("Found")


class HandScheduler:
    """Sends orders and hears everything said in `jobs`."""

    def __init__(self, settings: Settings, cluster: str) -> None:
        self.settings = settings
        self.topic = dispatch_topic(cluster)
        self.producer = Producer(settings.brokers, "by-hand")
        self.reader = Reader(settings.brokers, {(JOBS, 0): "end"}, client_id="by-hand")
        self.heard: list[Wire] = []

    def send(self, order: Order) -> None:
        self.producer.send_and_wait(self.topic, encode(order), partition=0)

    def for_steady(self, steady: SteadyNode, version: str, inputs: dict[str, Any] | None = None, **changes: Any) -> Run:
        """As `run`, for the steady node."""
        return self.run(steady.session, version, inputs, node="steady", **changes)

    def run(self, session: str, version: str, inputs: dict[str, Any] | None = None, **changes: Any) -> Run:
        """A Run order as a scheduler would make it, payload inside; not sent."""
        raw = json.dumps(inputs or {}).encode()
        order = Run(
            node="node-1",
            session=session,
            pool="main",
            epoch=1,
            job=f"main-{uuid.uuid4().hex}",
            attempt=1,
            dispatch=dispatch_id(1, next(_numbers), 0),
            model="noop",
            version=version,
            timeout_ms=60_000,
            partition=0,
            offset=0,
            digest=payload_digest(SALT, raw),
            payload=Payload(msgspec.Raw(raw), SALT),
        )
        return msgspec.structs.replace(order, **changes)

    def submitted(self, order: Run) -> Run:
        """The same order without its payload, which is put into `jobs` instead."""
        assert order.payload is not None
        submission = Submission(order.job, "tenant", "api", "noop", order.digest, "api")
        record = JobSubmitted(submission, order.payload.inputs, order.payload.salt)
        delivery = self.producer.send_and_wait(JOBS, encode(record), key=uuid.uuid4().hex.encode(), partition=0)
        return msgspec.structs.replace(order, payload=None, offset=delivery.offset)

    def until(self, pick: Callable[[Wire], Found | None], deadline_s: float = DEADLINE_S) -> Found:
        """The first thing heard, or to be heard, that `pick` takes. AssertionError with all that was heard if none."""
        end_s = time.monotonic() + deadline_s
        looked = 0
        while True:
            while looked < len(self.heard):
                found = pick(self.heard[looked])
                looked += 1
                if found is not None:
                    return found
            assert time.monotonic() < end_s, f"not heard within {deadline_s} s; last heard {self.heard[-20:]}"
            self.listen(0.5)

    def listen(self, wait_s: float) -> None:
        """Hear what has been said, waiting at most `wait_s` for the first of it."""
        for record in self.reader.read(wait_s):
            try:
                self.heard.append(decode_wire(record.value))
            except Malformed:
                raise AssertionError("a node wrote what is no record of `jobs`") from None

    def joined(self, node: str, *, but: str) -> NodeJoined:
        """This node's join with another session."""
        return self.until(lambda w: w if isinstance(w, NodeJoined) and w.node == node and w.session != but else None)

    def heartbeat(self, session: str, true: Callable[[NodeHeartbeat], bool]) -> NodeHeartbeat:
        """The session's first heartbeat of which this is true."""
        return self.until(lambda w: w if isinstance(w, NodeHeartbeat) and w.session == session and true(w) else None)

    def reports(self, dispatch: str) -> list[AttemptReport]:
        """What was heard so far of an attempt."""
        return [report for wire in self.heard for report in _of_attempts(wire) if report.dispatch == dispatch]

    def ended(self, dispatch: str) -> Succeeded | Failed | Stopped:
        """The attempt's last report."""

        def pick(wire: Wire) -> list[Succeeded | Failed | Stopped] | None:
            return [r for r in _of_attempts(wire) if r.dispatch == dispatch and not isinstance(r, Started)] or None

        return self.until(pick)[0]

    def started(self, dispatch: str) -> Started:
        def pick(wire: Wire) -> Started | None:
            for report in _of_attempts(wire):
                if report.dispatch == dispatch and isinstance(report, Started):
                    return report
            return None

        return self.until(pick)

    def close(self) -> None:
        self.reader.close()
        self.producer.close()


class NodeProcess:
    """`python -m gpu_worker` as its own process, its log in a file."""

    def __init__(self, settings: Settings, cluster: str, scheduler: HandScheduler, directory: Path) -> None:
        self.settings = settings
        self.cluster = cluster
        self.scheduler = scheduler
        self.log = directory / "node.log"
        self.scratch = directory / "scratch"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str, slots: int = 2, name: str = "node-1", heartbeat_ms: int = 300) -> str:
        """Start it; the session it joins with."""
        self.launch(*more, slots=slots, name=name, heartbeat_ms=heartbeat_ms)
        joined = self.scheduler.until(lambda w: w if isinstance(w, NodeJoined) and w.node == name else None)
        return joined.session

    def launch(self, *more: str, slots: int, name: str, heartbeat_ms: int = 300) -> None:
        environment = os.environ | self.settings.environment() | {"HEADRACE_HEARTBEAT_MS": str(heartbeat_ms)}
        arguments = ["--cluster", self.cluster, "--node", name, "--slots", str(slots), "--scratch", str(self.scratch)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gpu_worker", *arguments, *more], env=environment, stderr=log, stdout=log
            )

    def children(self) -> list[int]:
        """Process ids of the slots' children."""
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        assert self.process is not None
        return self.process.wait(timeout_s)

    def scratch_is_empty(self) -> bool:
        """Whether nothing of an attempt is left on disk, within a moment."""
        folders = [self.scratch / name for name in ("attempts", "gone")]
        return until(lambda: not any(path for folder in folders for path in folder.glob("*")), "its scratch is empty")

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class SteadyNode:
    """A node that runs already."""

    process: NodeProcess
    session: str

    def child(self) -> int:
        """Process id of its one slot's child."""
        (pid,) = self.process.children()
        return pid


ODD = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path

class Odd:
    def load(self, weights_dir, device, rank, world_size):
        pass

    def predict(self, inputs, ctx):
        how = inputs["how"]
        if how == "print":
            print(inputs["prompt"]); print(inputs["prompt"], file=sys.stderr)
            raise RuntimeError(inputs["prompt"])
        if how == "file":
            Path(ctx.output("words.txt")).write_text(inputs["prompt"])
            return {"words": len(inputs["prompt"])}
        if how == "link":
            os.symlink("/etc/passwd", ctx.output("words.txt"))
            return {}
        if how == "bad-values":
            return {"words": "many"}
        if how == "film":
            frame = Path(inputs["clip"]).read_bytes()
            frames = (memoryview(frame).cast("B", (48, 64, 3)) for _ in range(12))
            return {"words": ctx.video("film.mp4", frames, 24)}
        if how == "environment":
            return {"names": sorted(os.environ)}
        if how == "deaf":
            import signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(3600)
"""

ODD_YAML = """
name: odd
entry_point: odd:Odd
chipsets: [cpu]
timeout_s: 60
python: "3.11"
inputs: {type: object}
outputs:
  type: object
  properties:
    words: {type: integer}
    names: {type: array}
"""


def model_directory(directory: Path) -> Path:
    (directory / "odd.py").write_text(ODD)
    (directory / "model.yaml").write_text(ODD_YAML)
    (directory / "environment.lock").write_text("")
    return directory


def _of_attempts(wire: Wire) -> list[AttemptReport]:
    """What a record says of attempts."""
    return [r for r in wire.reports if isinstance(r, AttemptReport)] if isinstance(wire, NodeReport) else []
