"""The host of one pool: carries out what its writer asks, and feeds in what became of it.

Theory of operation. Faust delivers `jobs`; a thread reads the pool's ledger; a producer appends and sends. All of them
end in the event loop, where the writer (sans-I/O) is stepped: at most one batch is in flight, and what arrives
meanwhile is the next one. Whatever a host cannot mend by itself ends the process, with one line that says why: the next
one reads the ledger and goes on from there.
"""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version

import structlog

from contract.codec import Malformed, body_of, decode_wire, headers_for
from contract.events import InputQuarantined
from contract.inputs import Input, JobSubmitted, Unreadable
from contract.topics import JOBS, LEDGER
from runtime.kafka import (
    Delivery,
    DeliveryUnclear,
    Producer,
    Record,
    Watermarks,
    offsets,
    read_one,
)
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from scheduling.state import initial_state
from streams import snapshots
from streams.dispatching import Dispatching
from streams.faust_app import die
from streams.follower import Follower
from streams.outputs import Append, AskJobsEnd, InputAhead, Output, SeekJobs, SendOrders, SnapshotReady, Stop
from streams.payloads import PayloadCache
from streams.pool_metrics import PoolMetrics
from streams.pools import pool_in_ledger, pool_named_by
from streams.quarantine import set_aside
from streams.tail import LedgerTail
from streams.tracing import traceparent_of
from streams.writer import LedgerWriter, Phase

SUBMISSION_BYTES = 400
"""About what the ledger keeps of a submission, whatever its payload's size."""
PENDING_MAX = 5_000
"""Inputs taken from Faust and not decided yet: beyond it the delivery waits."""
STOP_TIMEOUT_S = 8.0

log = structlog.get_logger(__name__)

Seek = Callable[[str, int, int], Awaitable[None]]
"""seek(topic, partition, offset): have Faust deliver that record next."""


class PoolHost:
    """One pool of this process, from assignment to revocation. All methods run on the event loop."""

    def __init__(
        self,
        settings: Settings,
        partition: int,
        *,
        producer: Producer,
        orders: Producer,
        store: ObjectStore,
        watermarks: Watermarks,
        seek: Seek,
    ) -> None:
        self.partition = partition
        self._settings, self._producer, self._orders = settings, producer, orders
        self._store, self._watermarks = store, watermarks
        self._seek = seek
        self._loop = asyncio.get_running_loop()
        self._session = uuid.uuid4().hex
        self._closed = False
        self._named: asyncio.Future[str] = self._loop.create_future()
        self._follower: Follower | None = None
        self._payloads = PayloadCache()
        self._writer: LedgerWriter | None = None
        self._tail: LedgerTail | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._snapshot_timer: asyncio.TimerHandle | None = None
        self._woken = False
        self._room = asyncio.Event()
        self._room.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._snapshot_offset = -1
        self._snapshot_saved = asyncio.Event()
        self._opening = self._spawn(self._open())

    # -- beginning and end -----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        pool = await asyncio.to_thread(pool_in_ledger, self._settings, self.partition)
        if pool is None:
            log.info("waiting for a policy that names this partition", partition=self.partition)
            naming = self._follow(0)
            pool = await self._named
            naming.close()
            self._follower = None
        started = time.monotonic()
        self._pool = pool
        state = await asyncio.to_thread(snapshots.newest, self._store, pool) or initial_state(pool)
        self._snapshot_offset = state.head_offset
        _, end = await asyncio.to_thread(offsets, self._settings.kafka, LEDGER, self.partition)
        if self._closed:
            return
        self._metrics = PoolMetrics(state)
        self._dispatching = Dispatching(state, self._orders, self._payloads, self._session)
        self._writer = LedgerWriter(state, session=self._session, release=version("headrace"))
        self._writer.ledger_end(end)
        log.info(
            "opening a pool", pool=pool, partition=self.partition, snapshot_offset=state.head_offset, ledger_end=end
        )
        self._opening_since = started
        self._tail = LedgerTail(
            self._settings.kafka,
            self.partition,
            self._writer.next_offset,
            on_records=self._on_ledger,
            on_failure=lambda failure: die("the ledger cannot be read", pool=pool, found=repr(failure)),
        )
        self._wake()

    async def close(self, *, with_snapshot: bool) -> None:
        """Stop deciding: let the batch in flight settle, and store a snapshot if asked and there is anything new."""
        writer = self._writer
        leads = writer is not None and writer.phase is Phase.LEADING
        if with_snapshot and writer is not None and leads and writer.state.head_offset > self._snapshot_offset:
            self._snapshot_saved.clear()
            writer.want_snapshot()
            self._wake()
            try:
                await asyncio.wait_for(self._snapshot_saved.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                log.warning("no snapshot at the stop: the next start folds a longer tail", pool=self._pool)
        self._closed = True
        if self._follower is not None:
            self._follower.close()
        if self._tail is not None:
            self._tail.close()
        self._opening.cancel()
        for timer in (self._timer, self._snapshot_timer):
            if timer is not None:
                timer.cancel()

    # -- what comes in ---------------------------------------------------------------------------------------------

    @property
    def place(self) -> int | None:
        """The next offset of `jobs` to read; None while none is read."""
        return self._follower.wanted if self._follower is not None else None

    async def deliver(self, record: Record) -> None:
        """The next record of `jobs` that Faust has. Waits while too many are undecided."""
        if self._follower is None or not await self._follower.wants(record.offset, record.follows):
            return
        if self._writer is not None:
            await self._take(record)
            await self._room.wait()
        elif not self._named.done() and (pool := pool_named_by(record.value, self.partition)):
            self._named.set_result(pool)

    def recheck(self) -> None:
        """Faust has rebalanced and may have lost its place in `jobs`."""
        if self._writer is not None and self._follower is not None:
            self._spawn(self._follower.seek())
            self._writer.recheck()
            self._wake()

    async def _take(self, record: Record) -> None:
        assert self._writer is not None
        if record.value is None:  # the tombstone of an erased record
            self._writer.skip_to(record.offset + 1)
            return
        try:
            said = decode_wire(record.value)
        except Malformed as malformed:
            reason = str(malformed)
            await self._set_aside(record, reason)
            given, size = Input(record.offset, record.timestamp_ms, Unreadable(reason)), SUBMISSION_BYTES
        else:
            if isinstance(said, JobSubmitted):
                key = (record.key or b"").decode("utf-8", "backslashreplace")
                self._payloads.hold(record.offset, said, traceparent_of(record.headers))
                given, size = Input(record.offset, record.timestamp_ms, said.submission, key), SUBMISSION_BYTES
            else:
                given, size = Input(record.offset, record.timestamp_ms, body_of(said)), len(record.value)
        self._writer.receive(given, size)
        if self._writer.pending >= PENDING_MAX:
            self._room.clear()
        self._wake()

    async def _set_aside(self, record: Record, reason: str) -> None:
        source = f"headrace/scheduler/{self._pool}/{self._session}"
        try:
            await set_aside(self._producer, source, JOBS, self.partition, record.offset, reason, record.value)
        except DeliveryUnclear as error:
            die("a record could not be quarantined", pool=self._pool, offset=record.offset, found=str(error))
        log.warning("a record of `jobs` was quarantined", pool=self._pool, offset=record.offset, reason=reason)

    def _on_ledger(self, records: Sequence[Record]) -> None:
        assert self._writer is not None
        for record in records:
            self._carry_out(self._writer.read(record.offset, record.timestamp_ms, record.value or b""))
        self._pump()

    # -- what goes out ---------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Step the writer soon, after what is ready to come in has come in."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._woken = False
        if self._writer is None or self._closed:
            return
        self._carry_out(self._writer.step(_mono_ms()))
        if self._writer.pending < PENDING_MAX:
            self._room.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._writer.due_ms(_mono_ms())
        if due_ms is not None:
            self._timer = self._loop.call_later(due_ms / 1000, self._pump)

    def _carry_out(self, outputs: list[Output]) -> None:
        for output in outputs:
            if self._closed:
                return
            match output:
                case Append():
                    self._append(output)
                case SendOrders(orders):
                    self._dispatching.send(orders)
                case AskJobsEnd():
                    self._spawn(self._ask_jobs_end())
                case SnapshotReady():
                    self._spawn(self._save(output))
                case SeekJobs(position):
                    self._lead(position)
                case InputAhead(offset, ahead_ms):
                    log.warning(
                        "an input is ahead of the pool's clock", pool=self._pool, offset=offset, ahead_ms=ahead_ms
                    )
                case Stop(reason):
                    die(reason, pool=self._pool)

    def _lead(self, position: int) -> None:
        assert self._writer is not None
        self._follow(position)
        self._snapshot_later()
        gc.collect()
        gc.freeze()  # the state lives as long as the process: no collection need walk a million jobs
        log.info(
            "leading a pool",
            pool=self._pool,
            epoch=self._writer.state.epoch,
            position=position,
            after_s=round(time.monotonic() - self._opening_since, 3),
        )

    def _follow(self, position: int) -> Follower:
        """Have `jobs` delivered from here on."""
        self._follower = Follower(
            JOBS,
            self.partition,
            position,
            watermarks=self._watermarks,
            seek=self._seek,
            on_gap=self._on_gap,
        )
        return self._follower

    def _append(self, output: Append) -> None:
        stale = [event for event in output.batch.events if isinstance(event, InputQuarantined) and event.job]
        if stale:
            self._spawn(self._append_after(stale, output))
        else:
            self._produce(output)

    async def _append_after(self, stale: list[InputQuarantined], output: Append) -> None:
        """The submissions that were too old go to `quarantine` before the ledger says that they are there."""
        for event in stale:
            found = await asyncio.to_thread(read_one, self._settings.kafka, JOBS, self.partition, event.offset)
            if found is not None:
                await self._set_aside(found, event.reason)
        if not self._closed:
            self._produce(output)

    def _produce(self, output: Append) -> None:
        decided = time.monotonic()

        def on_delivery(outcome: Delivery | Exception) -> None:
            self._loop.call_soon_threadsafe(self._on_delivery, outcome, output, decided)

        batch = output.batch
        headers = headers_for(batch, f"{batch.epoch}.{batch.seq}", f"headrace/scheduler/{self._pool}/{self._session}")
        try:
            self._producer.send(
                LEDGER, output.record, headers=headers, partition=self.partition, on_delivery=on_delivery
            )
        except DeliveryUnclear as error:
            self._on_delivery(error, output, decided)

    def _on_delivery(self, outcome: Delivery | Exception, output: Append, decided: float) -> None:
        if self._writer is None or self._closed:
            return
        if isinstance(outcome, Exception):
            self._carry_out(self._writer.unclear(str(outcome)))
            return
        self._carry_out(self._writer.acked(outcome.offset, outcome.timestamp_ms, _mono_ms()))
        self._pump()
        self._payloads.forget(output.batch.events)
        self._metrics.acked(output.batch, time.monotonic() - decided, self._writer.ignored)

    # -- where `jobs` ends -----------------------------------------------------------------------------------------

    async def _ask_jobs_end(self) -> None:
        assert self._writer is not None
        end: int | None = None
        try:
            end = await asyncio.to_thread(self._watermarks.end_of_all_written, JOBS, self.partition)
        except Exception as error:
            log.warning("the broker did not say where `jobs` ends", pool=self._pool, found=repr(error))
        self._carry_out(self._writer.jobs_end(end))
        self._pump()

    def _on_gap(self, first: int) -> None:
        if self._writer is not None:
            self._writer.skip_to(first)
            self._wake()

    # -- snapshots -------------------------------------------------------------------------------------------------

    def _snapshot_later(self) -> None:
        self._snapshot_timer = self._loop.call_later(self._settings.snapshot_every_ms / 1000, self._want_snapshot)

    def _want_snapshot(self) -> None:
        assert self._writer is not None
        if self._writer.state.head_offset > self._snapshot_offset:
            self._writer.want_snapshot()
            self._wake()
        self._snapshot_later()

    async def _save(self, ready: SnapshotReady) -> None:
        started = time.monotonic()
        try:
            key = await asyncio.to_thread(
                snapshots.save, self._store, self._pool, ready.offset, ready.now_ms, ready.data
            )
        except Exception as error:
            log.warning("a snapshot was not stored; the next one will be tried", pool=self._pool, found=repr(error))
        else:
            self._snapshot_offset = ready.offset
            took_ms = round((time.monotonic() - started) * 1000)
            log.info("snapshot stored", pool=self._pool, key=key, size_bytes=len(ready.data), took_ms=took_ms)
        self._snapshot_saved.set()

    # -- tasks -----------------------------------------------------------------------------------------------------

    def _spawn(self, coroutine: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not self._closed:
            die("a pool's host failed", partition=self.partition, found=repr(failure))


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000
