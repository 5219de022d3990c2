"""A writer of results with a store in memory, for tests of what is stored and what is refused."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec

from contract.inputs import Report
from contract.orders import Run
from gpu_worker.io.checker_process import Checkers
from gpu_worker.io.encoders import Encoders
from gpu_worker.io.encoding import DEFAULT_TUNING
from gpu_worker.io.results import ResultsWriter
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed
from runtime.object_store import Source, StoreAway, StoreRefuses
from runtime.worker.folders import open_folder
from runtime.worker.node_store import STORE_READ_TIMEOUT_S, STORE_TRIES
from runtime.worker.outages import OutageWaits
from tests.twin.object_store import TwinObjectStore
from tests.unit.gpu_worker.programs import installed

AWAY: list[Exception] = [ConnectionError("away"), TimeoutError("away"), StoreAway("away"), StoreRefuses("read-only")]
"""What a store raises while it is away, hangs, or does not do what it was asked."""

ORDER = Run("n", "s", "p", 1, "j", 1, "1.1.0", "m", "v1", 1000, 0, 0, "")
PREFIX = "results/j/1.1.0/"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


class Store(TwinObjectStore):
    """A store that raises what it is told, and that can be made to wait."""

    def __init__(self) -> None:
        super().__init__(read_timeout_s=STORE_READ_TIMEOUT_S, tries=STORE_TRIES)
        self.errors: list[Exception] = []
        self.puts = 0
        self.reached = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def put(self, key: str, data: bytes, *, content_type: str = "", if_absent: bool = False) -> bool:
        self._come()
        return super().put(key, data, content_type=content_type)

    def put_stream(self, key: str, source: Source, *, content_type: str = "") -> None:
        """Read before the wait and after it, like a store that sends part by part."""
        first = source.read(3)
        self._come()
        super().put_stream(key, io.BytesIO(first + source.read()), content_type=content_type)

    def _come(self) -> None:
        self.puts += 1
        self.reached.set()
        assert self.let.wait(10)
        if self.errors:
            raise self.errors.pop(0)


class NoPlaces:
    """For a node without an encoder."""

    def encoded(self, dispatch: str) -> str:
        raise NotImplementedError

    def make_encoded(self, dispatch: str, owner: int) -> None:
        raise NotImplementedError

    def open_encoded(self, dispatch: str) -> int:
        raise NotImplementedError


class Table:
    def __init__(self, directory: Path, checkers: Checkers, schema: dict[str, Any] = SCHEMA) -> None:
        self.directory = directory
        self.store = Store()
        self.waits: list[tuple[str, str]] = []
        self.waits_s: list[float] = []
        """When each was told."""
        self.rests_s: list[float] = []
        self.on_rest: Callable[[], None] = lambda: None
        self.told: SimpleQueue[tuple[str, Report]] = SimpleQueue()
        root = os.open(directory.parent, os.O_RDONLY)
        self.writer = ResultsWriter(
            self.store,
            lambda _dispatch: open_folder(root, directory.name),
            checkers,
            lambda *told: self.told.put(told),
            OutageWaits(self.note_wait, pause=self.pause, now_s=self.store.clock.now_s),
            Encoders("", DEFAULT_TUNING, NoPlaces(), None, 2**30),
        )
        self.supplies = Supplies(msgspec.Raw(b'{"prompt":"words"}'), installed(outputs=schema))

    def note_wait(self, what: str, cause: str) -> None:
        self.waits.append((what, cause))
        self.waits_s.append(self.store.clock.now_s())

    def pause(self, seconds: float) -> None:
        self.store.clock.pass_(seconds)
        self.rests_s.append(seconds)
        self.on_rest()

    def begin(self, outcome: ChildOutcome) -> None:
        self.writer.store(ORDER, self.supplies, outcome)

    def stored(self, outcome: ChildOutcome) -> Report:
        self.begin(outcome)
        return self.told.get(timeout=10)[1]

    def stored_while(self, outcome: ChildOutcome, change: Callable[[], object]) -> Report:
        """As `stored`; `change` is called when the store has been reached, before it answers."""
        self.store.let.clear()
        self.begin(outcome)
        assert self.store.reached.wait(10)
        change()
        self.store.let.set()
        return self.told.get(timeout=10)[1]


def computed(*outputs: str, values: bytes = b"{}", load_ms: int = 0) -> Computed:
    return Computed(msgspec.Raw(values), outputs, load_ms=load_ms)
