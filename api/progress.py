"""Progress for event streams: one reader of the topic `progress` for all streams of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from api.hub import Hub
from contract.codec import Malformed, decode_progress
from contract.side_topics import AttemptProgressed
from contract.topics import PROGRESS, PROGRESS_PARTITIONS
from runtime.kafka import Reader, Record
from runtime.kafka_credentials import Brokers
from runtime.outage_watch import OutageWatch


class ProgressReader:
    """Reads from where the topic ended when the process started: nobody needs older progress."""

    def __init__(self, brokers: Brokers, hub: Hub) -> None:
        self._brokers = brokers
        self._hub = hub
        self._closing = threading.Event()
        self._watch = OutageWatch("progress waits for the broker", "progress goes on")
        self._thread = threading.Thread(target=self._run, name="progress-reader", daemon=True)

    def start(self) -> None:
        """Call in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """Ends the thread. A thread that waits for a broker that is away is left behind, and ends with the process."""
        self._closing.set()
        self._thread.join(2)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._follow()
            except Exception as error:  # the reader: it goes on when the broker is back or the topic exists
                self._closing.wait(self._watch.failed(type(error).__name__))

    def _follow(self) -> None:
        starts = {(PROGRESS, partition): "end" for partition in range(PROGRESS_PARTITIONS)}
        reader = Reader(self._brokers, starts, client_id="headrace-api-progress")  # type: ignore[arg-type]
        self._watch.worked()
        try:
            while not self._closing.is_set():
                arrived = _decoded(reader.read(0.5))
                if arrived:
                    with contextlib.suppress(RuntimeError):  # the loop has ended
                        self._loop.call_soon_threadsafe(self._hub.give_progress, arrived)
        finally:
            reader.close()


def _decoded(records: list[Record]) -> list[AttemptProgressed]:
    arrived = []
    for record in records:
        with contextlib.suppress(Malformed):
            arrived.append(decode_progress(record.value))
    return arrived
