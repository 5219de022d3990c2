"""A writer of results with a store in memory, for tests of what is stored and what is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec

from contract.inputs import Report
from contract.orders import Run
from gpu_worker.io.checker_process import Checkers
from gpu_worker.io.results import ResultsWriter
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed
from runtime.object_store import Source
from runtime.worker.folders import open_folder
from tests.unit.gpu_worker.memory_store import MemoryStore
from tests.unit.gpu_worker.programs import installed

ORDER = Run("n", "s", "p", 1, "j", 1, "1.1.0", "m", "v1", 1000, 0, 0, "")
PREFIX = "results/j/1.1.0/"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


class Store(MemoryStore):
    """A store that fails as often as told, and that can be made to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = 0
        self.fault: Exception = RuntimeError("away")
        self.puts = 0
        self.reached = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def put(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        self.puts += 1
        self.reached.set()
        assert self.let.wait(10)
        if self.faults:
            self.faults -= 1
            raise self.fault
        self.objects[key] = data
        return True

    def put_stream(self, key: str, source: Source, *, content_type: str = "") -> None:
        """Read before the wait and after it, like a store that sends part by part."""
        first = source.read(3)
        self.put(key, first)
        self.objects[key] += source.read()


class Table:
    def __init__(self, directory: Path, checkers: Checkers, schema: dict[str, Any] = SCHEMA) -> None:
        self.directory = directory
        self.store = Store()
        self.told: SimpleQueue[tuple[str, Report]] = SimpleQueue()
        root = os.open(directory.parent, os.O_RDONLY)
        self.writer = ResultsWriter(
            self.store,
            lambda _dispatch: open_folder(root, directory.name),
            checkers,
            lambda *told: self.told.put(told),
            patience_s=2.0,
        )
        self.supplies = Supplies(msgspec.Raw(b'{"prompt":"words"}'), installed(outputs=schema))

    def begin(self, outcome: ChildOutcome) -> None:
        self.writer.store(ORDER, self.supplies, outcome)

    def stored(self, outcome: ChildOutcome) -> Report:
        self.begin(outcome)
        return self.told.get(timeout=10)[1]


def computed(*outputs: str, values: bytes = b"{}") -> Computed:
    return Computed(msgspec.Raw(values), outputs)
