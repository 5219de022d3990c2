"""The writer of one pool's ledger: takes the pool over, turns inputs into batches, and knows when to stop. No I/O.

Theory of operation. The ledger is its own compare-and-swap (contract.chain): a record counts only if it follows the
last one that counted. A writer is in one phase at a time:

    opening       folds the ledger up to its end, then appends Opened{epoch + 1}
    reading_back  waits to see whether its Opened counted; if another record came first, folds that and opens again
    leading       decides batches, one in flight at a time, while it goes on reading its own ledger
    stopped       for good; another writer opens the pool anew

A writer decides nothing before it has seen its Opened count. It stops at the first record that counts and is not its
own, at a record of its own that does not count, and at a delivery whose outcome is unclear. So two writers alive at
once can waste work, never corrupt. A call that raises also stops the writer: no record tells of the state that the call
left half moved, and a batch decided from that state would be damage to every reader, for ever.

The host does the I/O. It feeds in what it read and what became of appends, calls `step` (at any time, at the latest
when `due_ms` says), and carries out the outputs in order. `mono_ms`: the host's monotonic clock; `at_ms`: the broker's
append times; both in ms.
"""

from __future__ import annotations

import msgspec

from contract.batch import Batch, hash_of
from contract.chain import Chain, Counted, Damaged
from contract.codec import encode, encode_batch
from contract.events import Event, Opened
from contract.inputs import Input
from contract.orders import Order
from scheduling import snapshot
from scheduling.attempts.orders import orders_for, standing_orders
from scheduling.decide import Clock, decide, open_pool
from scheduling.evolve import fold, seal
from scheduling.state.pool import State
from streams.ledger import outputs as out
from streams.ledger.clock import PoolClock
from streams.ledger.outputs import PoolRest
from streams.ledger.own_records import OwnRecord, OwnRecords, batch_without_events
from streams.ledger.pace import Pace
from streams.ledger.pending_inputs import PendingInputs
from streams.ledger.phases import WriterPhase, chain_after, in_place, stopped_if_it_raises
from streams.ledger.takeover import OPEN_TRIES_MAX, Takeover


class LedgerWriter:
    """One pool's writer, from opening to stop.

    `state` is a snapshot's or the initial one; nobody else may change it. `chain`, which starts where the state does,
    is a seam for tests. The host reads the ledger from `next_offset` on.
    """

    def __init__(
        self, state: State, chain: Chain | None = None, *, session: str, release: str, signed_from: int = -1
    ) -> None:
        """`signed_from`: where the host begins to ask for signatures, if the pool has not begun; -1: it has no keys."""
        self.state = state
        self.phase = WriterPhase.OPENING
        self.next_offset = max(0, state.head_offset)
        """Of the ledger: the next record to feed to `read`. A snapshot's own last record is read again and checked."""
        self.ignored = 0
        """Records read that did not count."""
        self._chain = chain or chain_after(state)
        self._session, self._release, self._signed_from = session, release, signed_from
        self._takeover = Takeover(state)
        self._clock = PoolClock()
        self._pace = Pace(state, self._clock)
        self._inputs = PendingInputs()
        self._own = OwnRecords()
        self._was_full = False
        """The last batch was full: what it left to judge and to plan is due at once."""
        self._snapshot_wanted = False

    # -- what the host feeds in ------------------------------------------------------------------------------------

    def ledger_end(self, offset: int) -> None:
        """The ledger ended at `offset` when this takeover began: Opened is appended once it is folded that far."""
        self._takeover.ledger_end = offset

    @stopped_if_it_raises
    def read(self, offset: int, at_ms: int, record: bytes) -> list[out.Output]:
        """The ledger's record at `offset`, in order, each once; our own too."""
        if self.phase is WriterPhase.STOPPED:
            return []
        if offset != self.next_offset:
            return self._stop(f"expected the ledger's offset {self.next_offset} next, found {offset}", PoolRest.LONG)
        self.next_offset, self._takeover.last_at_ms = offset + 1, at_ms
        if self._takeover.awaits_snapshot_head:
            fault = self._takeover.check_snapshot_head(offset, record)
            return self._stop(fault, PoolRest.LONG) if fault else []
        try:
            judged = self._chain.offer(offset, record)
        except Damaged as damage:
            return self._stop(f"the ledger is damaged: {damage}; run `headrace audit verify`", PoolRest.LONG)
        if isinstance(judged, Counted):
            return self._take_counted(offset, judged)
        return self._take_not_counted(hash_of(record))

    @stopped_if_it_raises
    def acked(self, offset: int, at_ms: int, mono_ms: int) -> list[out.Output]:
        """The broker stored the record in flight at `offset`."""
        if self.phase is WriterPhase.STOPPED:
            return []
        landed = self._own.land()
        self._clock.appended(at_ms, mono_ms)
        if landed.batch.events and isinstance(landed.batch.events[0], Opened):
            won_unread = self.phase is WriterPhase.READING_BACK and not self._opened_needs_read_back()
            return self._win(landed.batch, landed.hash, offset) if won_unread else []
        seal(self.state, landed.hash, offset, landed.batch.position)
        return [out.SendOrders(landed.orders)] if landed.orders else []

    @stopped_if_it_raises
    def unclear(self, reason: str) -> list[out.Output]:
        """Nobody knows whether the record in flight was stored: only reading the ledger anew will tell."""
        return self._stop(f"the delivery of a ledger record is unclear ({reason})", PoolRest.BRIEF)

    @stopped_if_it_raises
    def receive(self, given: Input, size_bytes: int) -> None:
        """The next record of `jobs`. `size_bytes` is about what the ledger will keep of it."""
        if self.phase is WriterPhase.LEADING:
            self._inputs.add(given, size_bytes)

    def skip_to(self, position: int) -> None:
        """`jobs` holds no record before `position` that was not received (compacted or expired)."""
        self._inputs.skip_to(position)

    @stopped_if_it_raises
    def jobs_end(self, end: int | None) -> list[out.Output]:
        """The answer to AskJobsEnd; None when the broker gave none."""
        self._pace.answer(end)
        if end is not None and end < self._pace.asked_position:
            return self._stop(
                f"`jobs` ends at {end}, before {self._pace.asked_position} which pool {self.state.pool!r} has read: the"
                " topic was cut or made anew; restore it, or start an installation of its own",
                PoolRest.LONG,
            )
        return []

    @property
    def pending(self) -> int:
        """Inputs received and not decided yet."""
        return len(self._inputs)

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
        if self.phase is WriterPhase.LEADING and self._own.last is not None:
            return self._own.last.batch.seq, self._own.last.hash
        return self._chain.seq, self._chain.head_hash

    def _due(self, mono_ms: int) -> list[out.Output]:
        if self._own.in_flight is not None:
            return []
        if self.phase is WriterPhase.OPENING:
            return self._open(mono_ms) if self._takeover.is_folded(self.next_offset) else []
        if self.phase is not WriterPhase.LEADING:
            return []
        outputs: list[out.Output] = []
        if self._snapshot_wanted:
            if not self._may_snapshot():
                return []
            outputs.append(self._snapshot())
        if self._pace.should_ask(mono_ms, busy=bool(self._inputs)):
            self._pace.ask(mono_ms, self.state.position)
            outputs.append(out.AskJobsEnd())
        if self._batch_due_ms(mono_ms) == 0:
            outputs += self._decide(mono_ms)
        return outputs

    def due_ms(self, mono_ms: int) -> int | None:
        """Ms until `step` has something to do if nothing is fed in before; None when only that can make it."""
        if self.phase is not WriterPhase.LEADING or self._own.in_flight is not None:
            return None
        if self._snapshot_wanted:
            return 0 if self._may_snapshot() else None
        batch_due_ms, tick_due_ms = self._batch_due_ms(mono_ms), self._pace.due_ms(mono_ms)
        if batch_due_ms is None or tick_due_ms is None:
            return tick_due_ms if batch_due_ms is None else batch_due_ms
        return min(batch_due_ms, tick_due_ms)

    # -- seams: each is one promise; the simulation takes each out and must be caught ------------------------------

    def _opened_needs_read_back(self) -> bool:
        return True

    def _may_snapshot(self) -> bool:
        """A snapshot is taken only of state folded from records that were read back."""
        return self._own.all_read_back

    def _resume_position(self) -> int:
        """Where to read `jobs` on: the position lies in the record that consumed what came before."""
        return self.state.position

    # -- the ledger's records, judged ------------------------------------------------------------------------------

    def _take_counted(self, offset: int, counted: Counted) -> list[out.Output]:
        if self._own.read_back(counted.hash):
            if self.phase is not WriterPhase.READING_BACK:
                return []
            return self._win(counted.batch, counted.hash, offset)
        if self.phase is WriterPhase.LEADING:
            found = f"record {offset} of epoch {counted.batch.epoch} counts and is not ours (epoch {self.state.epoch})"
            return self._give_up(found)
        fold(self.state, counted.batch, counted.hash, offset)
        return []

    def _take_not_counted(self, record_hash: str) -> list[out.Output]:
        self.ignored += 1
        if not self._own.is_unread(record_hash):
            return []
        if self.phase is WriterPhase.LEADING:
            return self._give_up("our own record does not count")
        self._own.forget_unread()
        if self._takeover.tries >= OPEN_TRIES_MAX:
            return self._give_up(f"it was not won in {OPEN_TRIES_MAX} tries")
        self.phase = WriterPhase.OPENING
        return []

    def _open(self, mono_ms: int) -> list[out.Output]:
        fault = self._takeover.fault_at_end() or self._takeover.fault_without_keys(self._signed_from)
        if fault:
            return self._stop(fault, PoolRest.LONG)
        self.phase = WriterPhase.READING_BACK
        self._takeover.tries += 1
        clock = self._takeover.clock()
        self._clock.take_elapsed_ms(mono_ms)  # lease time of the first batch counts from here
        events = open_pool(self.state, self._session, self._release, clock, self._signed_from)
        return [self._append(clock, self.state.position, (), events, [encode(event) for event in events], ())]

    def _win(self, opened: Batch, record_hash: str, offset: int) -> list[out.Output]:
        """Our Opened counts: the pool is ours."""
        fold(self.state, opened, record_hash, offset)
        self.phase = WriterPhase.LEADING
        position = self._resume_position()
        self._inputs.next_offset = position
        outputs: list[out.Output] = [out.SeekJobs(position)]
        standing = tuple(standing_orders(self.state))
        if standing:
            outputs.append(out.SendOrders(standing))
        return outputs

    # -- batches ---------------------------------------------------------------------------------------------------

    def _decide(self, mono_ms: int) -> list[out.Output]:
        state = self.state
        offered = self._inputs.for_next_batch()
        clock = Clock(
            epoch=state.epoch,
            seq=state.seq + 1,
            now_ms=self._clock.now_ms(mono_ms, state.now_ms, offered),
            elapsed_ms=self._clock.take_elapsed_ms(mono_ms),
            caught_up=self._pace.has_caught_up(self._inputs.position_after(len(offered), state.position)),
        )
        decision = decide(state, offered, clock)
        inputs = offered[: decision.taken]
        if len(inputs) < len(offered):  # the batch was full before all was judged: nothing was planned
            clock = msgspec.structs.replace(clock, caught_up=False)
        position = self._inputs.position_after(len(inputs), state.position)
        self._inputs.drop(len(inputs))
        self._pace.decided(mono_ms, caught_up=clock.caught_up)
        self._was_full = decision.is_full
        orders = tuple(orders_for(state, inputs, decision.events))
        appended = self._append(clock, position, inputs, decision.events, decision.encoded, orders)
        ahead = [out.InputAhead(i.offset, i.at_ms - clock.now_ms) for i in inputs if i.at_ms > clock.now_ms]
        return [*ahead, appended]

    def _batch_due_ms(self, mono_ms: int) -> int | None:
        """Ms until a batch is due; None: nothing calls for one. The rest of a plan is due at once, and so is a tick
        once `jobs` is read as far as was asked. Inputs are due once they are gathered."""
        if self._was_full or self._inputs.fill_a_batch or self._pace.has_caught_up(self._inputs.next_offset):
            return 0
        if not self._inputs:
            return None
        return max(0, self._pace.gathered_ms(mono_ms, urgent=self._inputs.are_urgent))

    def _append(
        self,
        clock: Clock,
        position: int,
        inputs: tuple[Input, ...],
        events: list[Event],
        encoded: list[bytes],
        orders: tuple[Order, ...],
    ) -> out.Append:
        batch = batch_without_events(self.state, clock, position, inputs)
        record = encode_batch(batch, encoded)
        batch = msgspec.structs.replace(batch, events=tuple(events))
        self._own.append(OwnRecord(batch, hash_of(record), orders))
        return out.Append(record, batch)

    def _snapshot(self) -> out.SnapshotReady:
        self._snapshot_wanted = False
        state = self.state
        ready = out.SnapshotReady(snapshot.encode(state), state.head_offset, state.head_hash, state.now_ms)
        if self._own.all_read_back:  # the chain remembers each record that it judged: none before this is needed
            self._chain = chain_after(state)
        return ready

    # -- the end ---------------------------------------------------------------------------------------------------

    def _give_up(self, found: str) -> list[out.Output]:
        reason = f"another scheduler has taken pool {self.state.pool!r} over: {found}"
        return self._stop(reason, PoolRest.UNTIL_ASSIGNED)

    def _stop(self, reason: str, rest: PoolRest) -> list[out.Output]:
        if self.phase is WriterPhase.STOPPED:
            return []
        self.phase = WriterPhase.STOPPED
        return [out.Stop(reason, rest)]
