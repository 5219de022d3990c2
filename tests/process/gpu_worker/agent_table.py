"""An agent between a broker made of lists and real children, for tests that act as everything outside the node."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from contract.codec import decode_input, decode_progress
from contract.inputs import NodeReport, Report, Started, Succeeded, Wire
from contract.names import payload_digest
from contract.orders import Order, Payload, Run
from contract.results import ERROR_NAME, LOG_NAME, attempt_prefix
from contract.side_topics import AttemptProgressed
from contract.signing import RecordSigner
from contract.topics import JOBS, PROGRESS
from gpu_worker.agent import Agent
from gpu_worker.io.encoding import DEFAULT_TUNING, EncoderTuning
from gpu_worker.io.prepared_inputs import INPUT_BYTES_MAX
from gpu_worker.world import World
from registry.depot import InstalledVersion
from runtime.kafka import Delivery, DeliveryRefused, OnDelivery
from runtime.settings import FRAMES_BYTES_MAX
from runtime.worker.confinement import Confinement
from runtime.worker.node import NodeIdentity
from runtime.worker.order_reader import OrderListener
from runtime.worker.scratch import Scratch
from tests.twin.object_store import TwinObjectStore
from tests.unit.gpu_worker.programs import installed
from tests.waiting import until

DEADLINE_S = 20.0
IDENTITY = "ab" * 16
SALT, INPUTS = "ab" * 16, b"{}"
STAND_IN = Path(__file__).parents[2] / "torch_stand_in" / "torch"
MODEL = """
import os, time

class Model:
    def load(self, weights_dir, device, rank, world_size): pass
    def predict(self, inputs, ctx):
        while inputs.get("wait"): time.sleep(3600)
        how = inputs.get("how")
        if how == "progress":
            ctx._progressed_s = 0.0
            ctx.progress(0.5, "caf\\udce9.mp4")
            print("printed \\ud83d")
        if how in ("film", "values"):
            with open(ctx.output("film.bin"), "wb") as film: film.write(b"x" * 100)
        if how == "values":
            return {"title": "half \\ud83d"}
        if how == "full":
            with open(ctx.output("film.bin"), "wb") as film: film.write(b"x" * inputs["bytes"])
            raise OSError(28, "No space left on device")
        if how == "number":
            return {"n": 1}
        if how == "error":
            raise ValueError("no such file: caf\\udce9.mp4")
        if how == "raw":
            os.write(ctx._pipe.fd, bytes.fromhex(inputs["raw"]))
        return {}
"""


class Broker:
    """A producer whose acks the test gives or withholds, and a reader of orders that the test feeds."""

    def __init__(self) -> None:
        self.acks = True
        self.held: list[OnDelivery] = []
        self.sent: list[tuple[Wire, dict[str, bytes]]] = []
        self.progress: list[AttemptProgressed] = []
        self.record_bytes_max = 2**20
        self.refused: list[bytes] = []
        """Records that were larger than `record_bytes_max`."""
        self.listeners: list[OrderListener] = []
        """Who hears orders, by session."""
        self.sessions: list[str] = []
        self.positions = True

    def offer(self, topic: str, value: bytes | None, *, on_delivery: OnDelivery | None = None, **more: Any) -> None:
        if topic == PROGRESS:
            self.progress.append(decode_progress(value))
        if topic != JOBS or on_delivery is None or value is None:
            return
        if len(value) > self.record_bytes_max:
            self.refused.append(value)
            on_delivery(DeliveryRefused(f"{topic}: MSG_SIZE_TOO_LARGE"))
            return
        self.sent.append((decode_input(value), dict(more["headers"])))  # as at the scheduler's door
        if self.acks:
            on_delivery(Delivery(0, 0, 0))
        else:
            self.held.append(on_delivery)

    def open_orders(self, session: str, listener: OrderListener) -> Broker:
        self.listeners.append(listener)
        self.sessions.append(session)
        return self

    def start(self) -> None:
        if self.positions:
            self.listeners[-1].positioned(self.sessions[-1])

    def stop(self, wait_s: float = 0.0) -> None:
        pass

    def settle(self, result: Delivery | Exception) -> None:
        self.held.pop(0)(result)

    def said(self, kind: type) -> list[Any]:
        return [record for record, _ in list(self.sent) if isinstance(record, kind)]

    def reports(self) -> list[Any]:
        """In order, and without the times of loads, which differ (`loads_ms` has them)."""
        return list(map(_untimed, self._reports()))

    def loads_ms(self) -> dict[str, int]:
        """By dispatch that succeeded: how long it waited for its version."""
        return {report.dispatch: report.load_ms for report in self._reports() if isinstance(report, Succeeded)}

    def _reports(self) -> list[Any]:
        return [report for record in self.said(NodeReport) for report in record.reports]


def _untimed(report: Report) -> Report:
    return msgspec.structs.replace(report, load_ms=0) if isinstance(report, Succeeded) else report


class Store(TwinObjectStore):
    def error_of(self, run: Run) -> str:
        """The words of the attempt's failure."""
        return self.objects[attempt_prefix(run.job, run.dispatch) + ERROR_NAME].decode()

    def printed_in(self, run: Run) -> str:
        """What the model printed during the attempt."""
        return self.objects.get(attempt_prefix(run.job, run.dispatch) + LOG_NAME, b"").decode()


class OneVersion:
    """A depot that has the same program for every version."""

    def __init__(self, program: InstalledVersion) -> None:
        self.program = program

    def ensure(self, version: str, *, wheels_from_index: bool = True) -> InstalledVersion:
        return self.program

    def mark_used(self, version: str) -> None:
        pass


class Table:
    def __init__(
        self,
        directory: Path,
        heartbeat_ms: int,
        *,
        slots: int = 1,
        python: str = sys.executable,
        cached: tuple[str, ...] = (),
        confinement: Confinement | None = None,
        model: str = MODEL,
        encoder: str = "",
        encoding: EncoderTuning = DEFAULT_TUNING,
        frames_bytes_max: int = FRAMES_BYTES_MAX,
        input_bytes_max: int = INPUT_BYTES_MAX,
        drain_grace_s: float = 5.0,
    ) -> None:
        shutil.copytree(STAND_IN, directory / "code" / "torch")
        (directory / "code" / "model.py").write_text(model)
        self.broker = Broker()
        program = installed(code=directory / "code", weights=directory, python=python)
        self.store = Store()
        world = World(
            producer=self.broker,
            signer=RecordSigner(None),
            store=self.store,
            depot=OneVersion(program),
            cached=cached,
            read_payload=lambda *_: None,
            open_orders=self.broker.open_orders,
            environment={"PATH": os.environ["PATH"]},
            confinement=confinement,
            encoder=encoder,
            encoding=encoding,
            frames_bytes_max=frames_bytes_max,
            input_bytes_max=input_bytes_max,
        )
        node = NodeIdentity("main", "node-1", slots, "cpu", 0, 0, 0, 1, drain_grace_s, "node-1.example:10000", IDENTITY)
        scratch = Scratch(directory / "scratch")
        if confinement is not None:
            scratch.give_slots_to(confinement.uid)
        self.agent = Agent(node, world, scratch, heartbeat_ms=heartbeat_ms)
        self.status: int | None = None
        self.thread = threading.Thread(target=self._run)
        self.number = 0

    def _run(self) -> None:
        self.status = self.agent.run()

    def order(self, **changes: Any) -> Run:
        self.number += 1
        payload = Payload(msgspec.Raw(INPUTS), SALT)
        job = f"main-{self.number:032d}"
        session = self.broker.sessions[-1]
        run = Run(
            "node-1", session, "main", 1, job, 1, f"1.{self.number}.0", "m", "v", 60_000, 0, 0,
            payload_digest(SALT, INPUTS), payload,
        )  # fmt: skip
        return msgspec.structs.replace(run, **changes)

    def asking(self, inputs: bytes, **changes: Any) -> Run:
        """An order with these inputs."""
        return self.order(payload=Payload(msgspec.Raw(inputs), SALT), digest=payload_digest(SALT, inputs), **changes)

    def waiting(self, **changes: Any) -> Run:
        """An order of an attempt that does not end by itself."""
        return self.asking(b'{"wait": true}', **changes)

    def ended(self, run: Run) -> Report:
        """Give the order, and wait for how it ended."""
        self.take(run)

        def last() -> Report | None:
            reports = [report for report in self.broker.reports() if report.dispatch == run.dispatch]
            return next((report for report in reports if not isinstance(report, Started)), None)

        report = until(last)
        assert report is not None
        return report

    def take(self, *orders: Order) -> None:
        self.agent.ordered(list(orders))

    def turn(self) -> None:
        """Have the agent look at its clock and do what is due."""
        for _ in range(2):  # it looks between these
            called = threading.Event()
            self.agent._loop.post(called.set)
            assert called.wait(DEADLINE_S)


def started(table: Table) -> Iterator[Table]:
    table.thread.start()
    until(lambda: table.agent.turns)
    try:
        yield table
    finally:
        table.broker.acks = True
        while table.broker.held:
            table.broker.settle(Delivery(0, 0, 0))
        table.agent.stop()
        table.agent.stop()
        table.thread.join(DEADLINE_S)
        assert not table.thread.is_alive()


running = contextmanager(started)
