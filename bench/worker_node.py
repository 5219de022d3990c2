"""A node's real agent between a broker and an object store in memory and files, for `bench.worker`.

The broker gives an order as a scheduler does: one attempt is staged behind the one that runs. The store keeps files, so
that what it costs is what a disk costs."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec

from contract.codec import decode_input
from contract.inputs import Failed, NodeReport, Started, Stopped, Succeeded
from contract.names import payload_digest
from contract.orders import Order, Payload, PreparedInputs, Run
from contract.signing import RecordSigner
from contract.topics import JOBS
from gpu_worker.agent import Agent
from gpu_worker.io.encoding import EncoderTuning
from gpu_worker.world import World
from registry.depot import InstalledVersion
from registry.environment_lock import environment
from registry.manifest import Manifest
from runtime.kafka import Delivery, OnDelivery
from runtime.object_store import Missing, Source
from runtime.worker.canary_flight import find_layers
from runtime.worker.node import NodeIdentity
from runtime.worker.order_reader import OrderListener
from runtime.worker.scratch import Scratch

SALT = "ab" * 16
HEARTBEAT_MS = 1_000
COPY_BYTES = 1 << 20


class FileStore:
    """As much of runtime.object_store.ObjectStore as a node asks. An object's key is a path below the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bytes_put = 0

    def path(self, key: str) -> Path:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        self.path(key).write_bytes(data)
        self.bytes_put += len(data)
        return True

    def put_stream(self, key: str, source: Source, *, content_type: str = "") -> None:
        with self.path(key).open("wb") as file:
            while data := source.read(COPY_BYTES):
                file.write(data)
                self.bytes_put += len(data)

    def delete_prefix(self, prefix: str) -> int:
        raise NotImplementedError

    def get(self, key: str, bytes_max: int) -> bytes:
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            raise Missing(key) from None

    def get_file(self, key: str, path: Path, size: int) -> None:
        shutil.copyfile(self.folder / key, path)


class ListBroker:
    """Takes the node's reports, and hands over its orders."""

    def __init__(self) -> None:
        self.said: SimpleQueue[Started | Succeeded | Failed | Stopped] = SimpleQueue()
        self.session = ""
        self.listener: OrderListener | None = None

    def offer(self, topic: str, value: bytes | None, *, on_delivery: OnDelivery | None = None, **_: Any) -> None:
        if topic != JOBS or on_delivery is None or value is None:
            return
        record = decode_input(value)
        if isinstance(record, NodeReport):
            for report in record.reports:
                if isinstance(report, Started | Succeeded | Failed | Stopped):
                    self.said.put(report)
        on_delivery(Delivery(0, 0, 0))

    def open_orders(self, session: str, listener: OrderListener) -> ListBroker:
        self.session, self.listener = session, listener
        return self

    def start(self) -> None:
        assert self.listener is not None, "a session was opened"
        self.listener.positioned(self.session)

    def stop(self, wait_s: float = 0.0) -> None:
        pass


class OneVersion:
    """A depot with one version."""

    def __init__(self, program: InstalledVersion) -> None:
        self._program = program

    def ensure(self, version: str, *, wheels_from_index: bool = True) -> InstalledVersion:
        return self._program

    def mark_used(self, version: str) -> None:
        pass


class LoneNode:
    def __init__(self, folder: Path, code: Path, entry_point: str, ffmpeg: str, encoders: int) -> None:
        self.broker = ListBroker()
        self.store = FileStore(folder / "store")
        self._number = 0
        scratch = Scratch(folder / "scratch")
        layers = find_layers(scratch.confinement, [folder], os.environ)
        scratch.give_slots_to(layers.confinement.uid)
        nothing = {"type": "object"}
        manifest = Manifest(
            name="clips",
            entry_point=entry_point,
            code=(),
            weights=(),
            environment=environment("3.11", "linux_x86_64", ()),
            inputs=nothing,
            outputs=nothing,
            chipsets=("cpu",),
            gpus=0,
            ranks=1,
            memory_mib=0,
            timeout_ms=120_000,
        )
        world = World(
            producer=self.broker,
            signer=RecordSigner(None),
            store=self.store,
            depot=OneVersion(InstalledVersion("v", manifest, code, code, Path(sys.executable))),
            cached=("v",),
            read_payload=lambda *_: None,
            open_orders=self.broker.open_orders,
            environment=os.environ,
            confinement=layers.confinement,
            encoder=ffmpeg,
            encoding=EncoderTuning(processes=encoders, threads=1),
        )
        node = NodeIdentity("main", "node-1", 1, "cpu", 0, 0, 0, os.cpu_count() or 1, 30.0, "", secrets.token_hex(16))
        self._agent = Agent(node, world, scratch, heartbeat_ms=HEARTBEAT_MS)
        self._thread = threading.Thread(target=self._agent.run)

    def order(self, inputs: dict[str, Any], prepared: Callable[[str], PreparedInputs | None]) -> Run:
        """`prepared`: called with the job's id."""
        self._number += 1
        job, raw = f"main-{self._number:032d}", msgspec.json.encode(inputs)
        return Run(
            "node-1",
            self.broker.session,
            "main",
            1,
            job,
            1,
            f"1.{self._number}.0",
            "clips",
            "v",
            120_000,
            0,
            0,
            payload_digest(SALT, raw),
            Payload(msgspec.Raw(raw), SALT),
            prepared=prepared(job),
        )

    def take(self, order: Order) -> None:
        self._agent.ordered([order])

    @contextmanager
    def at_work(self) -> Iterator[LoneNode]:
        self._thread.start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Let the node leave, and wait until all its children have ended."""
        self._agent.stop()
        self._thread.join()
