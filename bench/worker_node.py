"""A node's real agent beside a scheduler in memory and an object store of files, for `bench.worker`.

The store keeps files, so that what it costs is what a disk costs."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.worker_scheduler import CLUSTER, MODEL, TIMEOUT_MS, VERSION, CoreScheduler
from contract.signing import RecordSigner
from gpu_worker.agent import Agent
from gpu_worker.io.encoding import EncoderTuning
from gpu_worker.world import World
from registry.depot import InstalledVersion
from registry.environment_lock import environment
from registry.manifest import Manifest
from runtime.object_store import Missing, Source
from runtime.worker.canary_flight import find_layers
from runtime.worker.node import NodeIdentity
from runtime.worker.scratch import Scratch

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


class OneVersion:
    """A depot with one version."""

    def __init__(self, program: InstalledVersion) -> None:
        self._program = program

    def ensure(self, version: str, *, wheels_from_index: bool = True) -> InstalledVersion:
        return self._program

    def mark_used(self, version: str) -> None:
        pass


class LoneNode:
    def __init__(
        self, folder: Path, code: Path, entry_point: str, ffmpeg: str, encoders: int, scheduler: CoreScheduler
    ) -> None:
        self.store = FileStore(folder / "store")
        scratch = Scratch(folder / "scratch")
        layers = find_layers(scratch.confinement, [folder], os.environ)
        scratch.give_slots_to(layers.confinement.uid)
        nothing = {"type": "object"}
        manifest = Manifest(
            name=MODEL,
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
            timeout_ms=TIMEOUT_MS,
        )
        world = World(
            producer=scheduler,
            signer=RecordSigner(None),
            store=self.store,
            depot=OneVersion(InstalledVersion(VERSION, manifest, code, code, Path(sys.executable))),
            cached=(VERSION,),
            read_payload=lambda *_: None,
            open_orders=scheduler.open_orders,
            environment=os.environ,
            confinement=layers.confinement,
            encoder=ffmpeg,
            encoding=EncoderTuning(processes=encoders, threads=1),
        )
        node = NodeIdentity(CLUSTER, "node-1", 1, "cpu", 0, 0, 0, os.cpu_count() or 1, 30.0, "", secrets.token_hex(16))
        self._agent = Agent(node, world, scratch, heartbeat_ms=HEARTBEAT_MS)
        self._thread = threading.Thread(target=self._agent.run)

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
