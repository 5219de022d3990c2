"""The writer of one pool's ledger: takes the pool over, turns inputs into batches, and knows when to stop. No I/O.

Theory of operation. The ledger is its own compare-and-swap (contract.chain): a record counts only if it follows the
last one that counted. A writer is in one phase at a time:

    opening       folds the ledger up to its end, then appends Opened{epoch + 1}
    reading_back  waits to see whether its Opened counted; if another record came first, folds that and opens again
    leading       decides batches, one in flight at a time, while it goes on reading its own ledger
    stopped       for good; the pool is opened anew by another writer

It decides nothing before it has seen its Opened count, and stops at the first record that counts and is not its own,
at its own record that does not count, and at a delivery whose outcome is unclear. So two writers alive at once can
waste work, never corrupt. A call that raises has stopped the writer too: state that is half moved is said by no record,
and a batch decided from it would be damage to every reader, for ever.

The host does the I/O: it feeds in what it read and what became of appends, calls `step` (at any time, at the latest
when `due_ms` says), and carries out the outputs in order. `mono_ms`: monotonic, in ms; `at_ms`: broker's append times.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

import msgspec

from contract.batch import BATCH_INPUTS_MAX, INPUT_BYTES_MAX, Batch, hash_of
from contract.chain import Chain, Counted, Damaged
from contract.codec import encode, encode_batch
from contract.events import Event, Opened
from contract.inputs import Input, NodeHeartbeat, NodeReport
from contract.orders import Order
from scheduling import snapshot
from scheduling.attempts.orders import orders_for, standing_orders
from scheduling.decide import Clock, decide, open_pool
from scheduling.evolve import fold, seal
from scheduling.state.pool import State
from streams.ledger import outputs as out
from streams.ledger.clock import PoolClock
from streams.ledger.outputs import PoolRest
from streams.ledger.pace import Pace
from streams.ledger.phases import WriterPhase, chain_after, in_place, stopped_if_it_raises

OF_NODES = (NodeReport, NodeHeartbeat)
OPEN_TRIES_MAX = 20
"""Lost races for the pool after which a newcomer gives up: whoever wins them all is alive and leads."""


class LedgerWriter:
    """One pool's writer, from opening to stop.

    `state` is a snapshot's or the initial one; nobody else may change it. `chain`, which starts where the state does,
    is a seam. The host reads the ledger from `next_offset` on.
    """

    def __init__(self, state: State, chain: Chain | None = None, *, session: str, release: str) -> None:
        self.state = state
        self.phase = WriterPhase.OPENING
        self.next_offset = max(0, state.head_offset)
        """Of the ledger: the next record to feed to `read`. A snapshot's own last record is read again and checked."""
        self.next_input = 0
        """Of `jobs`: the next record that `receive` takes; smaller ones are dropped. Set when leading."""
        self.ignored = 0
        """Records read that did not count."""
        self._chain = chain or chain_after(state)
        self._session, self._release = session, release
        self._snapshot_head = state.head_hash if state.head_offset >= 0 else ""
        self._clock = PoolClock()
        self._pace = Pace(state, self._clock)
        self._pending: deque[tuple[Input, int]] = deque()
        self._asked_position = 0
        """Where the pool was when the end of `jobs` was last asked: the answer may be older than what came since."""
        self._urgent = 0
        """Of the pending inputs, those that are more than a node's words."""
        self._unread: deque[str] = deque()
        """Hashes of own records appended and not read back yet, oldest first."""
        self._sending: tuple[Order, ...] = ()
        """Orders of the batch in flight."""
        self._sent: tuple[Batch, str] | None = None
        """The batch appended last, and its hash."""
        self._in_flight = False
        self._ledger_end: int | None = None
        self._tries = 0
        self._more = False
        """The last batch was full: what is left to judge and to plan goes on at once."""
        self._last_at_ms = 0
        self._snapshot_wanted = False

    # -- what the host feeds in ------------------------------------------------------------------------------------

    def ledger_end(self, offset: int) -> None:
        """The ledger ended at `offset` when this takeover began: Opened is appended once it is folded that far."""
        self._ledger_end = offset

    @stopped_if_it_raises
    def read(self, offset: int, at_ms: int, record: bytes) -> list[out.Output]:
        """The ledger's record at `offset`, in order, each once; our own too."""
        if self.phase is WriterPhase.STOPPED:
            return []
        if offset != self.next_offset:
            return self._stop(f"expected the ledger's offset {self.next_offset} next, found {offset}", PoolRest.LONG)
        self.next_offset, self._last_at_ms = offset + 1, at_ms
        if self._snapshot_head:
            expected, self._snapshot_head = self._snapshot_head, ""
            if hash_of(record) == expected:
                return []
            return self._stop(
                f"the ledger's record {offset} is not the one the snapshot follows (expected {expected[:16]},"
                f" found {hash_of(record)[:16]}): the ledger was edited or replaced; run `headrace audit verify`",
                PoolRest.LONG,
            )
        try:
            judged = self._chain.offer(offset, record)
        except Damaged as damage:
            return self._stop(f"the ledger is damaged: {damage}; run `headrace audit verify`", PoolRest.LONG)
        if isinstance(judged, Counted):
            return self._counted(offset, judged)
        return self._not_counted(hash_of(record))

    @stopped_if_it_raises
    def acked(self, offset: int, at_ms: int, mono_ms: int) -> list[out.Output]:
        """The broker stored the record in flight at `offset`."""
        if self.phase is WriterPhase.STOPPED:
            return []
        self._in_flight = False
        self._clock.appended(at_ms, mono_ms)
        assert self._sent is not None
        batch, record_hash = self._sent
        if batch.events and isinstance(batch.events[0], Opened):
            won_unread = self.phase is WriterPhase.READING_BACK and not self._opened_needs_read_back()
            return self._won(batch, record_hash, offset) if won_unread else []
        seal(self.state, record_hash, offset, batch.position)
        sending, self._sending = self._sending, ()
        return [out.SendOrders(sending)] if sending else []

    @stopped_if_it_raises
    def unclear(self, reason: str) -> list[out.Output]:
        """Nobody knows whether the record in flight was stored: only reading the ledger anew will tell."""
        return self._stop(f"the delivery of a ledger record is unclear ({reason})", PoolRest.BRIEF)

    @stopped_if_it_raises
    def receive(self, given: Input, size_bytes: int) -> None:
        """The next record of `jobs`. `size_bytes` is about what the ledger will keep of it."""
        if self.phase is WriterPhase.LEADING and given.offset >= self.next_input:
            self.next_input = given.offset + 1
            self._pending.append((given, size_bytes))
            self._urgent += not isinstance(given.body, OF_NODES)

    def skip_to(self, position: int) -> None:
        """`jobs` holds no record from `next_input` up to `position` (compacted or expired)."""
        self.next_input = max(self.next_input, position)

    @stopped_if_it_raises
    def jobs_end(self, end: int | None) -> list[out.Output]:
        """The answer to AskJobsEnd; None when the broker gave none."""
        self._pace.answer(end)
        if end is not None and end < self._asked_position:
            return self._stop(
                f"`jobs` ends at {end}, before {self._asked_position} which pool {self.state.pool!r} has read: the"
                " topic was cut or made anew; restore it, or start an installation of its own",
                PoolRest.LONG,
            )
        return []

    @property
    def pending(self) -> int:
        """Inputs received and not decided yet."""
        return len(self._pending)

    def recheck(self) -> None:
        """Whoever delivers `jobs` may have lost its place: ask where it ends, and write a batch once read that far."""
        self._pace.recheck()

    def want_snapshot(self) -> None:
        """The next `step` with nothing in flight and everything read back gives a SnapshotReady."""
        self._snapshot_wanted = True

    # -- what it does ----------------------------------------------------------------------------------------------

    @stopped_if_it_raises
    def step(self, mono_ms: int) -> list[out.Output]:
        """Whatever is due now."""
        last = self._last()
        return in_place(self._due(mono_ms), last)

    def _last(self) -> tuple[int, str]:
        """Seq and hash of the record that the next one follows: our own last one, or what was read before we lead."""
        if self.phase is WriterPhase.LEADING and self._sent is not None:
            return self._sent[0].seq, self._sent[1]
        return self._chain.seq, self._chain.head_hash

    def _due(self, mono_ms: int) -> list[out.Output]:
        if self._in_flight:
            return []
        if self.phase is WriterPhase.OPENING:
            at_end = self._ledger_end is not None and self.next_offset >= self._ledger_end
            return self._open(mono_ms) if at_end else []
        if self.phase is not WriterPhase.LEADING:
            return []
        outputs: list[out.Output] = []
        if self._snapshot_wanted:
            if not self._may_snapshot():
                return []
            self._snapshot_wanted = False
            head = self.state
            outputs.append(out.SnapshotReady(snapshot.encode(head), head.head_offset, head.head_hash, head.now_ms))
            self._forget_older()
        if self._pace.should_ask(mono_ms, busy=bool(self._pending)):
            self._pace.ask(mono_ms)
            self._asked_position = self.state.position
            outputs.append(out.AskJobsEnd())
        if self._batch_due_ms(mono_ms) == 0:
            outputs += self._decide(mono_ms)
        return outputs

    def due_ms(self, mono_ms: int) -> int | None:
        """Ms until `step` has something to do if nothing is fed in before; None when only that can make it."""
        if self.phase is not WriterPhase.LEADING or self._in_flight:
            return None
        if self._snapshot_wanted:
            return 0 if self._may_snapshot() else None
        batch_due_ms, tick_due_ms = self._batch_due_ms(mono_ms), self._pace.due_ms(mono_ms)
        if batch_due_ms is None or tick_due_ms is None:
            return tick_due_ms if batch_due_ms is None else batch_due_ms
        return min(batch_due_ms, tick_due_ms)

    # -- seams: each is one promise; the simulation takes each out and must be caught ----------------------------

    def _opened_needs_read_back(self) -> bool:
        return True

    def _may_snapshot(self) -> bool:
        """Only of state folded from records read back."""
        return not self._unread

    def _resume_position(self) -> int:
        """Where to read `jobs` on: the position lies in the record that consumed what came before."""
        return self.state.position

    def _other_leads(self, offset: int, counted: Counted) -> list[out.Output]:
        """A record that is not ours counts while we lead: we are the old one."""
        found = f"record {offset} of epoch {counted.batch.epoch} counts and is not ours (epoch {self.state.epoch})"
        return self._overtaken(found)

    def _take_elapsed_ms(self, mono_ms: int) -> int:
        """Lease time of the batch begun now; asking it makes this batch the last."""
        return self._clock.take_elapsed_ms(mono_ms)

    # -- the ledger's records, judged ----------------------------------------------------------------------------

    def _counted(self, offset: int, counted: Counted) -> list[out.Output]:
        if self._unread and counted.hash == self._unread[0]:
            self._unread.popleft()
            if self.phase is not WriterPhase.READING_BACK:
                return []
            return self._won(counted.batch, counted.hash, offset)
        if self.phase is WriterPhase.LEADING:
            return self._other_leads(offset, counted)
        fold(self.state, counted.batch, counted.hash, offset)
        return []

    def _not_counted(self, record_hash: str) -> list[out.Output]:
        self.ignored += 1
        if record_hash not in self._unread:
            return []
        if self.phase is WriterPhase.LEADING:
            return self._overtaken("our own record does not count")
        self._unread.clear()
        if self._tries >= OPEN_TRIES_MAX:
            return self._overtaken(f"it was not won in {OPEN_TRIES_MAX} tries")
        self.phase = WriterPhase.OPENING
        return []

    def _open(self, mono_ms: int) -> list[out.Output]:
        if self._snapshot_head:
            return self._stop(
                f"the ledger of pool {self.state.pool!r} ends at offset {self._ledger_end}, before record"
                f" {self.state.head_offset} which the snapshot follows: its tail was cut; run `headrace audit verify`",
                PoolRest.LONG,
            )
        self.phase = WriterPhase.READING_BACK
        self._tries += 1
        state = self.state
        clock = Clock(
            epoch=state.epoch + 1,
            seq=state.seq + 1,
            now_ms=max(state.now_ms, self._last_at_ms),
            elapsed_ms=0,
            caught_up=False,
        )
        self._take_elapsed_ms(mono_ms)
        events = open_pool(state, self._session, self._release, clock)
        return [self._append(clock, state.position, (), events, [encode(event) for event in events])]

    def _won(self, opened: Batch, record_hash: str, offset: int) -> list[out.Output]:
        """Our Opened counts: the pool is ours."""
        fold(self.state, opened, record_hash, offset)
        self.phase = WriterPhase.LEADING
        position = self._resume_position()
        self.next_input = position
        outputs: list[out.Output] = [out.SeekJobs(position)]
        standing = tuple(standing_orders(self.state))
        if standing:
            outputs.append(out.SendOrders(standing))
        return outputs

    # -- batches -------------------------------------------------------------------------------------------------

    def _decide(self, mono_ms: int) -> list[out.Output]:
        state = self.state
        offered = self._offered()
        clock = Clock(
            epoch=state.epoch,
            seq=state.seq + 1,
            now_ms=self._clock.now_ms(mono_ms, state.now_ms, offered),
            elapsed_ms=self._take_elapsed_ms(mono_ms),
            caught_up=self._pace.has_caught_up(self._position_after(len(offered))),
        )
        decision = decide(state, offered, clock)
        inputs = offered[: decision.taken]
        if len(inputs) < len(offered):  # the batch was full before all was judged: nothing was planned
            clock = msgspec.structs.replace(clock, caught_up=False)
        position = self._position_after(len(inputs))
        self._drop(inputs)
        self._pace.decided(mono_ms, caught_up=clock.caught_up)
        self._more = decision.is_full
        self._sending = tuple(orders_for(state, inputs, decision.events))
        appended = self._append(clock, position, inputs, decision.events, decision.encoded)
        ahead = [out.InputAhead(i.offset, i.at_ms - clock.now_ms) for i in inputs if i.at_ms > clock.now_ms]
        return [*ahead, appended]

    def _batch_due_ms(self, mono_ms: int) -> int | None:
        """Ms until a batch is due: at once for the rest of a plan, and when `jobs` is read as far as was asked (a
        tick); for inputs once they are gathered. None: nothing calls for one."""
        if self._more or len(self._pending) >= BATCH_INPUTS_MAX or self._pace.has_caught_up(self.next_input):
            return 0
        if not self._pending:
            return None
        return max(0, self._pace.gathered_ms(mono_ms, urgent=self._urgent > 0))

    def _offered(self) -> tuple[Input, ...]:
        """What waits, for the next batch: at least one input if there is any, no more than a batch may have."""
        inputs: list[Input] = []
        size_bytes = 0
        for given, size in islice(self._pending, BATCH_INPUTS_MAX):
            if inputs and size_bytes + size > INPUT_BYTES_MAX:
                break
            size_bytes += size
            inputs.append(given)
        return tuple(inputs)

    def _position_after(self, taken: int) -> int:
        """Where to read `jobs` on once so many of the pending inputs are judged."""
        if taken == len(self._pending):
            return max(self.state.position, self.next_input)
        return self._pending[taken - 1][0].offset + 1 if taken else self.state.position

    def _drop(self, inputs: tuple[Input, ...]) -> None:
        """They are judged, and wait no longer."""
        for given in inputs:
            self._pending.popleft()
            self._urgent -= not isinstance(given.body, OF_NODES)

    def _append(
        self, clock: Clock, position: int, inputs: tuple[Input, ...], events: list[Event], encoded: list[bytes]
    ) -> out.Append:
        batch = Batch(
            pool=self.state.pool,
            epoch=clock.epoch,
            seq=clock.seq,
            prev_hash=self.state.head_hash,
            now_ms=clock.now_ms,
            elapsed_ms=clock.elapsed_ms,
            caught_up=clock.caught_up,
            position=position,
            inputs=inputs,
            events=(),
        )
        record = encode_batch(batch, encoded)
        batch = msgspec.structs.replace(batch, events=tuple(events))
        self._sent = (batch, hash_of(record))
        self._unread.append(self._sent[1])
        self._in_flight = True
        return out.Append(record, batch)

    def _forget_older(self) -> None:
        """The chain remembers every record it judged; those before a snapshot need not be told from damage here."""
        if not self._unread and not self._in_flight:
            self._chain = chain_after(self.state)

    def _overtaken(self, found: str) -> list[out.Output]:
        reason = f"another scheduler has taken pool {self.state.pool!r} over: {found}"
        return self._stop(reason, PoolRest.UNTIL_ASSIGNED)

    def _stop(self, reason: str, rest: PoolRest) -> list[out.Output]:
        if self.phase is WriterPhase.STOPPED:
            return []
        self.phase = WriterPhase.STOPPED
        self._sending = ()
        return [out.Stop(reason, rest)]
