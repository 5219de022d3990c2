"""A pool that has a writer: carries out what the writer asks, and feeds in what became of it.

Theory of operation. Faust delivers `jobs`; a thread reads the pool's ledger; a producer appends batches and sends
orders. All of them end in the event loop, where the writer (sans-I/O) is stepped. At most one batch is in flight; what
arrives meanwhile goes into the next batch. At first the writer folds the ledger and wins the pool, then it leads.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from importlib.metadata import version

import structlog

from contract.codec import headers_for
from contract.events import InputQuarantined
from contract.inputs import Unreadable
from contract.signing import Verifier
from runtime.kafka import Delivery, DeliveryUnclear, Record
from runtime.outage_watch import OutageWatch
from runtime.telemetry import without_words
from streams.door import jobs_door
from streams.door.signatures import Signatures
from streams.ledger.dispatching import Dispatching
from streams.ledger.fold_watch import FoldWatch
from streams.ledger.host_guard import HostGuard, PoolEnds, Timer
from streams.ledger.jobs_reader import JobsReader
from streams.ledger.opening import Beginning
from streams.ledger.outputs import Append, AskJobsEnd, InputAhead, Output, SeekJobs, SendOrders, SnapshotReady, Stop
from streams.ledger.payloads import PayloadCache
from streams.ledger.phases import WriterPhase
from streams.ledger.pool_io import PoolIO
from streams.ledger.pool_metrics import PoolMetrics
from streams.ledger.writer import LedgerWriter

STOP_TIMEOUT_S = 8.0

log = structlog.get_logger(__name__)


class Leading:
    """Make it on the event loop, inside the guard of its host. All methods run there, and none waits for the pool."""

    def __init__(
        self,
        io: PoolIO,
        guard: HostGuard,
        jobs: JobsReader,
        beginning: Beginning,
        *,
        session: str,
        verifier: Verifier | None,
        snapshot_every_s: float,
    ) -> None:
        state = beginning.state
        self._pool, self._source = state.pool, f"headrace/scheduler/{state.pool}/{session}"
        self._io, self._guard, self._jobs = io, guard, jobs
        self._since_s = beginning.since_s
        self._payloads = PayloadCache()
        self._metrics = PoolMetrics(state)
        self._dispatching = Dispatching(state, io.orders, self._payloads, session)
        self._verifier = verifier
        self._signatures = Signatures(verifier, 0)
        """Of the records that are taken: since the pool is led, it is known from where on they must be signed."""
        self._writer = LedgerWriter(
            state, session=session, release=version("headrace"), signed_from=beginning.signed_from
        )
        self._writer.ledger_end(beginning.ledger_end)
        self._asking = OutageWatch("the broker does not say where `jobs` ends", "the broker says where `jobs` ends")
        self._saving = OutageWatch("snapshots are not stored; the next one will be tried", "snapshots are stored again")
        self._timer: Timer | None = None
        """Steps the writer when it says that something is due."""
        self._woken = False
        self._snapshot_every_s = snapshot_every_s
        self._snapshot_offset = state.head_offset
        """Of the newest stored snapshot."""
        self._is_saving = False
        """A snapshot is being stored: a store that hangs must not keep many of them in memory."""
        self._tried_offset = state.head_offset
        """Of the newest snapshot that was stored, or could not be."""
        self._snapshot_tried = asyncio.Event()
        self._tail = io.read_ledger(
            self._writer.next_offset,
            on_records=guard.of(self._on_ledger),
            on_failure=guard.of(self._on_ledger_lost),
        )
        self._wake()
        FoldWatch(io, guard, self._writer, beginning.ledger_end)

    @property
    def position(self) -> int:
        """The first offset of `jobs` that the pool has not decided."""
        return self._writer.state.position

    def recheck(self) -> None:
        """Faust may have lost its place in `jobs`: write a batch that has caught up."""
        self._writer.recheck()
        self._wake()

    async def settle(self) -> None:
        """Let the batch in flight land, and store a last snapshot if there is anything new to store."""
        if self._writer.phase is not WriterPhase.LEADING or not self._has_news():
            return
        wanted = self._writer.state.head_offset
        self._writer.want_snapshot()
        self._wake()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while self._tried_offset < wanted and not self._guard.closed:
                    self._snapshot_tried.clear()
                    await self._snapshot_tried.wait()
        except TimeoutError:
            log.warning("no snapshot at the stop: the next start folds a longer tail", pool=self._pool)

    def close(self) -> None:
        """Called once, after the guard has closed."""
        self._snapshot_tried.set()
        if self._timer is not None:
            self._timer.cancel()
        self._tail.close()
        self._metrics.close()

    # -- what comes in ---------------------------------------------------------------------------------------------

    async def _take(self, record: Record) -> None:
        if record.value is None:  # the tombstone of an erased record
            refusal = jobs_door.refusal_of_tombstone(record, self._signatures)
            if refusal:
                await self._set_aside(record, refusal)
            self._skip_to(record.offset + 1)
            return
        read = jobs_door.read(record, self._signatures)
        if read.refusal:
            await self._set_aside(record, read.refusal)
        if read.submitted is not None:
            self._payloads.hold(record.offset, read.submitted, read.traceparent)
        self._writer.receive(read.given, read.size_bytes)
        self._jobs.note_undecided(record.offset, read.size_bytes)
        self._wake()

    def _skip_to(self, position: int) -> None:
        """`jobs` holds no record before `position` that was not taken."""
        self._writer.skip_to(position)
        self._wake()

    async def _set_aside(self, record: Record, reason: str) -> None:
        try:
            await self._io.set_aside(self._source, record, reason)
        except DeliveryUnclear as error:
            raise PoolEnds("a record could not be quarantined", offset=record.offset, found=str(error)) from error

    def _on_ledger(self, records: Sequence[Record]) -> None:
        for record in records:
            self._carry_out(self._writer.read(record.offset, record.timestamp_ms, record.value or b""))
        self._pump()

    def _on_ledger_lost(self, failure: Exception) -> None:
        raise PoolEnds("the ledger cannot be read", found=f"{type(failure).__name__}: {failure}") from failure

    # -- what goes out ---------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Step the writer soon, after what is ready to come in has come in."""
        if not self._woken:
            self._woken = True
            self._guard.soon(self._pump)

    def _pump(self) -> None:
        self._woken = False
        self._carry_out(self._writer.step(_mono_ms()))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._writer.due_ms(_mono_ms())
        if due_ms is not None:
            self._timer = self._guard.later(due_ms / 1000, self._pump)

    def _carry_out(self, outputs: list[Output]) -> None:
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
                        "an input is ahead of the pool's clock", pool=self._pool, offset=offset, ahead_ms=ahead_ms
                    )
                case Stop(reason, rest):
                    raise PoolEnds(reason, rest)

    def _lead(self, position: int) -> None:
        """The writer has won the pool: have `jobs` delivered from `position` on."""
        self._signatures = Signatures(self._verifier, self._writer.state.signed_from)
        self._metrics.led(signatures_are_asked_for=self._signatures.are_asked_for)
        self._jobs.follow(position, self._take, self._skip_to)
        self._snapshot_later()
        gc.collect()
        gc.freeze()  # the state lives as long as its host, and has no cycles: no collection need walk a million jobs
        log.info(
            "leading a pool",
            pool=self._pool,
            epoch=self._writer.state.epoch,
            position=position,
            after_s=round(time.monotonic() - self._since_s, 3),
        )

    def _append(self, output: Append) -> None:
        batch = output.batch
        at_the_door = {given.offset for given in batch.inputs if isinstance(given.body, Unreadable)}
        judged = [
            event for event in batch.events if isinstance(event, InputQuarantined) and event.offset not in at_the_door
        ]
        if judged:
            self._guard.spawn(self._append_after(judged, output))
        else:
            self._produce(output)

    async def _append_after(self, judged: list[InputQuarantined], output: Append) -> None:
        """What `judge` did not act on (a submission too old, a job of another pool, a policy that cannot be put in
        force) goes to `quarantine` before the ledger says that it is there."""
        for event in judged:
            found = await self._io.record_of_jobs(event.offset)
            if found is not None:
                await self._set_aside(found, event.reason)
        self._produce(output)

    def _produce(self, output: Append) -> None:
        decided_s = time.monotonic()

        def hear(outcome: Delivery | Exception) -> None:
            self._on_delivery(outcome, output, decided_s)

        batch = output.batch
        headers = headers_for(batch, f"{batch.epoch}.{batch.seq}", self._source)
        try:
            self._io.append(output.record, headers, self._guard.from_thread(hear))
        except DeliveryUnclear as error:
            hear(error)

    def _on_delivery(self, outcome: Delivery | Exception, output: Append, decided_s: float) -> None:
        if isinstance(outcome, Exception):
            self._carry_out(self._writer.unclear(str(outcome)))
            return
        self._carry_out(self._writer.acked(outcome.offset, outcome.timestamp_ms, _mono_ms()))
        self._pump()
        self._jobs.note_decided(output.batch.position)
        self._payloads.settle(output.batch)
        self._metrics.acked(output.batch, time.monotonic() - decided_s, self._writer.ignored)

    async def _ask_jobs_end(self) -> None:
        """Ask the broker where `jobs` ends, and tell the writer."""
        end: int | None = None
        try:
            end = await self._io.jobs_end()
        except Exception as error:  # no answer: leases stand still, and the pool goes on
            self._asking.failed(without_words(error), pool=self._pool)
        else:
            self._asking.worked(pool=self._pool)
        self._carry_out(self._writer.jobs_end(end))
        self._pump()

    # -- snapshots -------------------------------------------------------------------------------------------------

    def _has_news(self) -> bool:
        """The state has moved since the newest snapshot."""
        return self._writer.state.head_offset > self._snapshot_offset

    def _snapshot_later(self) -> None:
        self._guard.later(self._snapshot_every_s, self._want_snapshot)

    def _want_snapshot(self) -> None:
        if self._has_news() and not self._is_saving:
            self._writer.want_snapshot()
            self._wake()
        self._snapshot_later()

    async def _save(self, ready: SnapshotReady) -> None:
        started_s = time.monotonic()
        self._is_saving = True
        try:
            key = await self._io.save_snapshot(self._pool, ready)
        except Exception as error:  # a snapshot that fails costs a longer fold, and no decision
            self._saving.failed(without_words(error), pool=self._pool)
        else:
            self._saving.worked(pool=self._pool)
            self._snapshot_offset = max(self._snapshot_offset, ready.offset)
            took_ms = round((time.monotonic() - started_s) * 1000)
            log.info("snapshot stored", pool=self._pool, key=key, size_bytes=len(ready.data), took_ms=took_ms)
        finally:
            self._is_saving = False
        self._tried_offset = max(self._tried_offset, ready.offset)
        self._snapshot_tried.set()


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000
