"""The host of one pool: carries out what its writer asks, and feeds in what became of it.

Theory of operation. Faust delivers `jobs`; a thread reads the pool's ledger; a producer appends and sends. All of them
end in the event loop, where the writer (sans-I/O) is stepped: at most one batch is in flight, and what arrives
meanwhile is the next one. Every way in from the loop leads through one guard (streams.ledger.host_guard): whatever a
host cannot mend by itself is raised there: the host ends, lets go of its state and says why. Its keeper
(streams.ledger.pool_keeper) opens the pool anew with another host, which reads the ledger and goes on from there.
"""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version

import structlog

from contract.codec import headers_for
from contract.events import InputQuarantined
from contract.topics import JOBS
from runtime.kafka import Delivery, DeliveryUnclear, Record
from streams.door import jobs_door
from streams.ledger.dispatching import Dispatching
from streams.ledger.host_guard import HostEnded, HostGuard, PoolEnds
from streams.ledger.jobs_reader import JobsReader
from streams.ledger.outputs import Append, AskJobsEnd, InputAhead, Output, SeekJobs, SendOrders, SnapshotReady, Stop
from streams.ledger.payloads import PayloadCache
from streams.ledger.phases import WriterPhase
from streams.ledger.pool_io import PoolIO
from streams.ledger.pool_metrics import PoolMetrics
from streams.ledger.pools import pool_named_by
from streams.ledger.snapshots import state_of
from streams.ledger.tail import LedgerTail
from streams.ledger.writer import LedgerWriter

STOP_TIMEOUT_S = 8.0

log = structlog.get_logger(__name__)


class PoolHost:
    """One pool of this process, from opening to end. All methods run on the event loop, and none waits for the pool."""

    def __init__(self, io: PoolIO, *, snapshot_every_ms: int, on_ended: Callable[[HostEnded], None]) -> None:
        """`on_ended` hears once that the host has ended by itself; not after `close`."""
        self.pool = ""
        """Empty until it is known whose partition this is."""
        self._io, self._snapshot_every_s, self._on_ended = io, snapshot_every_ms / 1000, on_ended
        self._guard = HostGuard(self._ended)
        self._session = uuid.uuid4().hex
        self._named: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._jobs = JobsReader(io, self._guard, self._take, self._skip_to)
        self._payloads = PayloadCache()
        self._writer: LedgerWriter | None = None
        self._dispatching: Dispatching | None = None
        self._metrics: PoolMetrics | None = None
        self._tail: LedgerTail | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._woken = False
        self._snapshot_offset = -1
        self._snapshot_saved = asyncio.Event()
        self._opening_since = time.monotonic()
        self._guard.spawn(self._open())

    # -- beginning and end -----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        pool = await self._io.pool_in_ledger()
        if pool is None:
            log.info("waiting for a policy that names this partition", partition=self._io.partition)
            self._jobs.follow(0)
            pool = await self._named
            self._jobs.leave()
        self.pool = pool
        self._opening_since = time.monotonic()
        state = await state_of(pool, self._io.newest_snapshot)
        self._snapshot_offset = state.head_offset
        end = await self._io.ledger_end()
        self._metrics = PoolMetrics(state)
        self._dispatching = Dispatching(state, self._io.orders, self._payloads, self._session)
        self._writer = LedgerWriter(state, session=self._session, release=version("headrace"))
        self._writer.ledger_end(end)
        log.info(
            "opening a pool",
            pool=pool,
            partition=self._io.partition,
            snapshot_offset=state.head_offset,
            ledger_end=end,
        )
        self._tail = self._io.read_ledger(
            self._writer.next_offset,
            on_records=self._guard.of(self._on_ledger),
            on_failure=self._guard.of(self._on_ledger_lost),
        )
        self._wake()

    async def close(self, *, with_snapshot: bool) -> None:
        """Stop deciding: let the batch in flight settle, and store a snapshot if asked and there is anything new."""
        writer = self._writer
        leads = writer is not None and writer.phase is WriterPhase.LEADING and not self._guard.closed
        if with_snapshot and writer is not None and leads and writer.state.head_offset > self._snapshot_offset:
            self._snapshot_saved.clear()
            writer.want_snapshot()
            self._wake()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._snapshot_saved.wait()
            except TimeoutError:
                log.warning("no snapshot at the stop: the next start folds a longer tail", pool=self.pool)
        self._guard.close()
        self._let_go()

    def _ended(self, ended: HostEnded) -> None:
        place = {"topic": JOBS, "offset": self._writer.state.position} if self._writer is not None else {}
        try:
            self._let_go()
        finally:
            self._on_ended(ended._replace(facts={**place, **ended.facts}))

    def _let_go(self) -> None:
        """Of everything, above all of the state: it may be large, and nobody may go on from it."""
        self._jobs.close()
        for part in (self._tail, self._metrics):
            if part is not None:
                part.close()
        if self._timer is not None:
            self._timer.cancel()
        self._writer = self._dispatching = self._metrics = self._tail = self._timer = None
        self._payloads = PayloadCache()
        self._snapshot_saved.set()

    # -- what comes in ---------------------------------------------------------------------------------------------

    @property
    def place(self) -> int | None:
        """The next offset of `jobs` to read; None while none is read."""
        return self._jobs.place

    def offer(self, record: Record) -> None:
        """The next record of `jobs` that Faust has."""
        self._guard.run(self._jobs.put, record)

    def recheck(self) -> None:
        """Faust has rebalanced and may have lost its place in `jobs`."""
        self._guard.run(self._recheck)

    def _recheck(self) -> None:
        self._jobs.seek()
        if self._writer is not None:
            self._writer.recheck()
            self._wake()

    async def _take(self, record: Record) -> None:
        if self._writer is None:
            if not self._named.done() and (pool := pool_named_by(record.value, self._io.partition)):
                self._named.set_result(pool)
            return
        if record.value is None:  # the tombstone of an erased record
            self._skip_to(record.offset + 1)
            return
        read = jobs_door.read(record)
        if read.refusal:
            await self._set_aside(record, read.refusal)
        if read.submitted is not None:
            self._payloads.hold(record.offset, read.submitted, read.traceparent)
        self._writer.receive(read.given, read.size_bytes)
        self._jobs.note_undecided(record.offset, read.size_bytes)
        self._wake()

    def _skip_to(self, position: int) -> None:
        """`jobs` holds nothing before it that was not taken."""
        if self._writer is not None:
            self._writer.skip_to(position)
            self._wake()

    async def _set_aside(self, record: Record, reason: str) -> None:
        source = f"headrace/scheduler/{self.pool}/{self._session}"
        try:
            await self._io.set_aside(source, record, reason)
        except DeliveryUnclear as error:
            raise PoolEnds("a record could not be quarantined", offset=record.offset, found=str(error)) from error

    def _on_ledger(self, records: Sequence[Record]) -> None:
        for record in records:
            self._carry_out(self._leading().read(record.offset, record.timestamp_ms, record.value or b""))
        self._pump()

    def _on_ledger_lost(self, failure: Exception) -> None:
        raise PoolEnds("the ledger cannot be read", found=f"{type(failure).__name__}: {failure}") from failure

    # -- what goes out ---------------------------------------------------------------------------------------------

    def _leading(self) -> LedgerWriter:
        assert self._writer is not None
        return self._writer

    def _wake(self) -> None:
        """Step the writer soon, after what is ready to come in has come in."""
        if not self._woken:
            self._woken = True
            self._guard.soon(self._pump)

    def _pump(self) -> None:
        self._woken = False
        writer = self._leading()
        self._carry_out(writer.step(_mono_ms()))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = writer.due_ms(_mono_ms())
        if due_ms is not None:
            self._timer = self._guard.later(due_ms / 1000, self._pump)

    def _carry_out(self, outputs: list[Output]) -> None:
        assert self._dispatching is not None
        for output in outputs:
            match output:
                case Append():
                    self._append(output)
                case SendOrders(orders):
                    self._dispatching.send(orders)
                case AskJobsEnd():
                    self._guard.spawn(self._ask_jobs_end())
                case SnapshotReady():
                    self._guard.spawn(self._save(output))
                case SeekJobs(position):
                    self._lead(position)
                case InputAhead(offset, ahead_ms):
                    log.warning(
                        "an input is ahead of the pool's clock", pool=self.pool, offset=offset, ahead_ms=ahead_ms
                    )
                case Stop(reason, rest):
                    raise PoolEnds(reason, rest)

    def _lead(self, position: int) -> None:
        """Have `jobs` delivered from here on."""
        self._jobs.follow(position)
        self._snapshot_later()
        gc.collect()
        gc.freeze()  # the state lives as long as its host, and has no cycles: no collection need walk a million jobs
        log.info(
            "leading a pool",
            pool=self.pool,
            epoch=self._leading().state.epoch,
            position=position,
            after_s=round(time.monotonic() - self._opening_since, 3),
        )

    def _append(self, output: Append) -> None:
        stale = [event for event in output.batch.events if isinstance(event, InputQuarantined) and event.job]
        if stale:
            self._guard.spawn(self._append_after(stale, output))
        else:
            self._produce(output)

    async def _append_after(self, stale: list[InputQuarantined], output: Append) -> None:
        """The submissions that were too old go to `quarantine` before the ledger says that they are there."""
        for event in stale:
            found = await self._io.record_of_jobs(event.offset)
            if found is not None:
                await self._set_aside(found, event.reason)
        self._produce(output)

    def _produce(self, output: Append) -> None:
        decided = time.monotonic()

        def heard(outcome: Delivery | Exception) -> None:
            self._on_delivery(outcome, output, decided)

        batch = output.batch
        headers = headers_for(batch, f"{batch.epoch}.{batch.seq}", f"headrace/scheduler/{self.pool}/{self._session}")
        try:
            self._io.append(output.record, headers, self._guard.from_thread(heard))
        except DeliveryUnclear as error:
            heard(error)

    def _on_delivery(self, outcome: Delivery | Exception, output: Append, decided: float) -> None:
        writer = self._leading()
        if isinstance(outcome, Exception):
            self._carry_out(writer.unclear(str(outcome)))
            return
        self._carry_out(writer.acked(outcome.offset, outcome.timestamp_ms, _mono_ms()))
        self._pump()
        self._jobs.note_decided(output.batch.position)
        self._payloads.settle(output.batch)
        assert self._metrics is not None
        self._metrics.acked(output.batch, time.monotonic() - decided, writer.ignored)

    # -- where `jobs` ends -----------------------------------------------------------------------------------------

    async def _ask_jobs_end(self) -> None:
        end: int | None = None
        try:
            end = await self._io.jobs_end()
        except Exception as error:
            log.warning("the broker did not say where `jobs` ends", pool=self.pool, found=repr(error))
        self._carry_out(self._leading().jobs_end(end))
        self._pump()

    # -- snapshots -------------------------------------------------------------------------------------------------

    def _snapshot_later(self) -> None:
        self._guard.later(self._snapshot_every_s, self._want_snapshot)

    def _want_snapshot(self) -> None:
        if self._leading().state.head_offset > self._snapshot_offset:
            self._leading().want_snapshot()
            self._wake()
        self._snapshot_later()

    async def _save(self, ready: SnapshotReady) -> None:
        started = time.monotonic()
        try:
            key = await self._io.save_snapshot(self.pool, ready)
        except Exception as error:
            log.warning("a snapshot was not stored; the next one will be tried", pool=self.pool, found=repr(error))
        else:
            self._snapshot_offset = ready.offset
            took_ms = round((time.monotonic() - started) * 1000)
            log.info("snapshot stored", pool=self.pool, key=key, size_bytes=len(ready.data), took_ms=took_ms)
        self._snapshot_saved.set()


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000
