"""Scheduler and projector of one pool in a thread: the real LedgerWriter over real Kafka, applied to the real views."""

from __future__ import annotations

import threading
import time

from contract.chain import Chain, Counted
from contract.codec import body_of, decode_wire
from contract.inputs import Input, Submission
from contract.topics import JOBS, LEDGER
from runtime.kafka import Producer, Reader, offsets
from runtime.postgres import engine
from runtime.settings import Settings
from scheduling.state.pool import initial_state
from streams.ledger import outputs as out
from streams.ledger.phases import WriterPhase
from streams.ledger.writer import LedgerWriter
from tests.unit.audit.ledger import POOL
from views.projection import apply


class Host:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="host", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as failure:
            self.failure = failure

    def _serve(self) -> None:
        kafka = self._settings.brokers
        self._producer = Producer(kafka, "test-host")
        self._ledger = Reader(kafka, {(LEDGER, 0): "beginning"}, client_id="test-host")
        self._jobs: Reader | None = None
        self._engine = engine(self._settings)
        self._chain = Chain(POOL)
        self._writer = LedgerWriter(initial_state(POOL), Chain(POOL), session="test", release="test")
        self._writer.ledger_end(offsets(kafka, LEDGER, 0)[1])
        while not self._stopping.is_set():
            self._turn()
        for reader in (self._ledger, self._jobs):
            if reader is not None:
                reader.close()
        self._producer.close()
        self._engine.dispose()

    def _turn(self) -> None:
        for record in self._ledger.read(0.005):
            assert record.value is not None
            self._carry_out(self._writer.read(record.offset, record.timestamp_ms, record.value))
            judged = self._chain.offer(record.offset, record.value)
            if isinstance(judged, Counted):
                with self._engine.begin() as connection:
                    apply(connection, POOL, record.offset, record.timestamp_ms, judged.hash, judged.batch)
        if self._jobs is not None:
            for record in self._jobs.read(0.005):
                if not record.value:
                    self._writer.skip_to(record.offset + 1)
                    continue
                body = body_of(decode_wire(record.value))
                key = (record.key or b"").decode() if isinstance(body, Submission) else ""
                self._writer.receive(Input(record.offset, record.timestamp_ms, body, key), len(record.value))
        self._carry_out(self._writer.step(self._mono_ms()))

    def _mono_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def _carry_out(self, outputs: list[out.Output]) -> None:
        for output in outputs:
            match output:
                case out.Append():
                    done = self._producer.send_and_wait(LEDGER, output.record, partition=0)
                    self._carry_out(self._writer.acked(done.offset, done.timestamp_ms, self._mono_ms()))
                case out.SeekJobs():
                    assert self._writer.phase is WriterPhase.LEADING
                    self._jobs = Reader(self._settings.brokers, {(JOBS, 0): output.position}, client_id="test-jobs")
                case out.AskJobsEnd():
                    self._carry_out(self._writer.jobs_end(offsets(self._settings.brokers, JOBS, 0)[1]))
                case out.Stop():
                    raise AssertionError(output.reason)
