"""Reading the ledger of a pool as it grows: the writer must see whether what it wrote counts."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from contract.topics import LEDGER
from runtime.kafka import Reader, Record
from runtime.kafka_credentials import Brokers

READ_TIMEOUT_S = 0.5
CHUNK_RECORDS, CHUNK_BYTES = 500, 1024 * 1024
CHUNKS_AHEAD = 4
"""At most so many chunks are handed over and not yet processed: this bounds the memory of a long fold. A chunk has at
most CHUNK_RECORDS, and no record more once it has CHUNK_BYTES."""
SLICE_RECORDS, SLICE_BYTES = 20, 256 * 1024
"""After so many records, or so many bytes, others have their turn on the event loop: a pool that is opened delays no
other pool. A record is not divided."""


class LedgerTail:
    """A thread that reads one ledger partition and hands its records to the event loop, in order."""

    def __init__(
        self,
        brokers: Brokers,
        partition: int,
        start: int,
        *,
        on_records: Callable[[Sequence[Record]], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """Both callbacks run on the running event loop. After `on_failure` no records come."""
        self._loop = asyncio.get_running_loop()
        self._brokers, self._partition, self._start = brokers, partition, start
        self._on_records, self._on_failure = on_records, on_failure
        self._closing = threading.Event()
        self._room = threading.Semaphore(CHUNKS_AHEAD)
        self._chunks: deque[deque[Record]] = deque()
        """Handed over to the event loop and not yet processed."""
        self._thread = threading.Thread(target=self._run, name=f"ledger-{partition}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No callback runs after this."""
        self._closing.set()
        self._room.release()

    def _run(self) -> None:
        try:
            reader = Reader(self._brokers, {(LEDGER, self._partition): self._start}, client_id="headrace-ledger")
            try:
                while not self._closing.is_set():
                    records = reader.read(READ_TIMEOUT_S, CHUNK_RECORDS, CHUNK_BYTES)
                    if records:
                        self._room.acquire()
                        self._call(self._deliver, records)
            finally:
                reader.close()
        except Exception as failure:  # ends the pool, on the loop's thread: a tail that ended mute would fence nobody
            self._call(self._fail, failure)

    def _call(self, callback: Callable[[Any], None], argument: Any) -> None:
        if not self._closing.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, argument)

    def _deliver(self, records: Sequence[Record]) -> None:
        self._chunks.append(deque(records))
        if len(self._chunks) == 1:
            self._process()

    def _process(self) -> None:
        """Process a slice of the oldest chunk now, the rest soon."""
        if self._closing.is_set():
            self._chunks.clear()
            return
        chunk = self._chunks[0]
        records, size = [chunk.popleft()], 0
        while chunk and len(records) < SLICE_RECORDS:
            size += len(records[-1].value or b"")
            if size >= SLICE_BYTES:
                break
            records.append(chunk.popleft())
        if not chunk:
            self._chunks.popleft()
            self._room.release()
        if self._chunks:
            self._loop.call_soon(self._process)
        self._on_records(records)

    def _fail(self, failure: Exception) -> None:
        if not self._closing.is_set():
            self._on_failure(failure)
