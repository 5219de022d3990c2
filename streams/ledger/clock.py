"""The time of one pool, as its writer tells it: the broker's clock, and lease time.

Theory of operation. `now` is the append time of the writer's own last ledger record plus the monotonic time since then,
so a host whose wall clock is an hour off changes nothing. Lease time is the sum of the batches' `elapsed_ms`: the
monotonic time of the writer, at most 10 s a batch. The writer asks now and then where `jobs` ends; until it has read
that far, lease time stands still at the moment of asking. So what was in `jobs` by then is read before a lapse is
decided, and an outage in between does not count at all.

All arguments named `mono_ms` are readings of one monotonic clock, in ms. No clock is read here.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.batch import ELAPSED_MAX_MS, INPUT_AHEAD_MAX_MS
from contract.inputs import Input


class PoolClock:
    """The clock of one writer."""

    __slots__ = ("_append_at_ms", "_append_mono_ms", "_asked_mono_ms", "_lease_mono_ms")

    def __init__(self) -> None:
        self._append_at_ms: int | None = None
        self._append_mono_ms = 0
        self._lease_mono_ms: int | None = None
        self._asked_mono_ms: int | None = None

    def appended(self, at_ms: int, mono_ms: int) -> None:
        """The writer's own record was appended at `at_ms` by the broker's clock; the ack came at `mono_ms`."""
        self._append_at_ms, self._append_mono_ms = at_ms, mono_ms

    def asked(self, mono_ms: int) -> None:
        """The end of `jobs` is being asked for: lease time stands still from here until `released`."""
        self._asked_mono_ms = mono_ms

    def released(self) -> None:
        """There was no answer: lease time goes on as if nothing had been asked."""
        self._asked_mono_ms = None

    def caught_up(self, mono_ms: int) -> None:
        """`jobs` was read as far as was asked: lease time goes on from here. The time since asking never counts: a node
        may have been heard in all of it, and a lease that begins late would end early (I16)."""
        self._asked_mono_ms = None
        self._lease_mono_ms = mono_ms

    def now_ms(self, mono_ms: int, last_now_ms: int, inputs: Sequence[Input]) -> int:
        """Time of a batch that reads `inputs`: never before the last batch, nor before the newest credible input."""
        now_ms = last_now_ms
        if self._append_at_ms is not None:
            now_ms = max(now_ms, self._append_at_ms + max(0, mono_ms - self._append_mono_ms))
        credible_ms = now_ms + INPUT_AHEAD_MAX_MS
        return max([now_ms, *(i.at_ms for i in inputs if i.at_ms <= credible_ms)])

    def take_elapsed_ms(self, mono_ms: int) -> int:
        """Lease time of the batch that is begun now: the time since the last call, which was for the batch before; 0
        for the first batch. Call this once a batch: a second call takes time away from the next batch."""
        reading = mono_ms if self._asked_mono_ms is None else min(mono_ms, self._asked_mono_ms)
        last = self._lease_mono_ms
        self._lease_mono_ms = reading if last is None else max(last, reading)
        return 0 if last is None else self.capped(max(0, reading - last))

    def capped(self, elapsed_ms: int) -> int:
        """What counts of `elapsed_ms`: an outage of ours adds no more than ELAPSED_MAX_MS."""
        return min(elapsed_ms, ELAPSED_MAX_MS)
