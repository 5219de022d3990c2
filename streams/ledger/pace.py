"""When the next batch of a pool is due, and whether a batch has caught up with `jobs`.

Theory of operation. While something is under way a batch is due at least every TICK_MS, and sooner when a backoff or a
deadline passes. Before such a tick, and now and then while the pool is busy, the broker is asked where `jobs` ends.
Lease time stands still from that moment until the inputs read reach that end; the batch that reads so far is
`caught_up`. So what had reached `jobs` by then is read before any lease is judged.
"""

from __future__ import annotations

from contract.batch import TICK_MS
from scheduling.state.pool import State
from streams.ledger.clock import PoolClock

TICK_MIN_MS = 50
"""A backoff or deadline that passes sooner than this waits so long, for the inputs that come in meanwhile."""
GATHER_MS = 5
"""Minimum gap between batches. Every batch costs each ledger reader about as much as several jobs, so node reports wait
up to this long to share one. What a user sent waits only while the pool is busy."""
ASK_EVERY_MS = 1_000
"""A pool asks at most this often where `jobs` ends."""


class Pace:
    """The pace of one writer."""

    __slots__ = (
        "_answered",
        "_ask_after_ms",
        "_batch_mono_ms",
        "_clock",
        "_end",
        "_gap_ms",
        "_state",
        "asked_position",
    )

    def __init__(self, state: State, clock: PoolClock) -> None:
        self._state, self._clock = state, clock
        self._batch_mono_ms: int | None = None
        """When the last batch was decided; None: a batch is due whatever is under way."""
        self._gap_ms = TICK_MS
        """Between the last two batches."""
        self._answered = True
        """False from the moment the end of `jobs` is asked for until `jobs` is read that far, or nobody knows the
        end."""
        self._end: int | None = None
        self._ask_after_ms = 0
        self.asked_position = 0
        """Where the pool was when the end of `jobs` was last asked for: the answer may be older than later inputs."""

    def decided(self, mono_ms: int, *, caught_up: bool) -> None:
        """A batch was decided."""
        self._gap_ms = mono_ms - self._batch_mono_ms if self._batch_mono_ms is not None else TICK_MS
        self._batch_mono_ms = mono_ms
        if caught_up:
            self._end, self._answered = None, True
            self._clock.caught_up(mono_ms)

    def gathered_ms(self, mono_ms: int, *, urgent: bool) -> int:
        """Ms until the pending inputs are worth a batch; 0 or less: now. `urgent`: a user sent one of them. Those wait
        only while batches follow each other as fast as they may."""
        if self._batch_mono_ms is None or (urgent and self._gap_ms > GATHER_MS + 1):
            return 0
        return self._batch_mono_ms + GATHER_MS - mono_ms

    def recheck(self) -> None:
        """A batch that has caught up is due, whatever is under way."""
        self._batch_mono_ms = None

    def should_ask(self, mono_ms: int, *, busy: bool) -> bool:
        """A tick is due, or the pool is busy and has not asked for a while; never while an answer is awaited."""
        if not self._answered or mono_ms < self._ask_after_ms:
            return False
        tick_due_ms = self._tick_due_ms(mono_ms)
        return tick_due_ms is not None and (busy or tick_due_ms <= 0)

    def ask(self, mono_ms: int, position: int) -> None:
        """The end of `jobs` is asked for now; the pool is at `position`."""
        self._answered, self._end, self.asked_position = False, None, position
        self._ask_after_ms = mono_ms + ASK_EVERY_MS
        self._clock.asked(mono_ms)

    def answer(self, end: int | None) -> None:
        """Where `jobs` ended; None when the broker did not say."""
        self._end = end
        if end is None:
            self._answered = True
            self._clock.released()

    def has_caught_up(self, position: int) -> bool:
        """`jobs` was asked for its end, and reading up to `position` reaches that end."""
        return self._end is not None and position >= self._end

    def due_ms(self, mono_ms: int) -> int | None:
        """Ms until there is something to ask; None while an answer is awaited or nothing is under way."""
        tick_due_ms = self._tick_due_ms(mono_ms) if self._answered else None
        return None if tick_due_ms is None else max(0, tick_due_ms, self._ask_after_ms - mono_ms)

    def _tick_due_ms(self, mono_ms: int) -> int | None:
        """Ms until the next tick is due, 0 or less when a tick is due now; None when nothing is under way."""
        if self._batch_mono_ms is None:
            return 0
        state = self._state
        if not state.jobs and not state.nodes:
            return None
        tick_ms = TICK_MS
        for resting in (state.resting, state.preparing.resting):
            if resting:
                tick_ms = min(tick_ms, resting[0][0] - state.lease_ms)
        if state.deadlines:
            tick_ms = min(tick_ms, state.deadlines[0][0] - state.now_ms)
        return self._batch_mono_ms + max(tick_ms, TICK_MIN_MS) - mono_ms
