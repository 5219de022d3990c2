"""Whether a fold goes on: one that waits for a record which the ledger does not hold would wait in silence, for ever.

A ledger ends in no record when somebody wrote to it in a transaction (the marker takes an offset), or when records were
deleted. The chain cannot tell, because no record comes that it could judge.
"""

from __future__ import annotations

from functools import partial

import structlog

from runtime.kafka import OffsetGone
from runtime.telemetry import without_words
from streams.ledger.host_guard import HostGuard, PoolEnds
from streams.ledger.outputs import PoolRest
from streams.ledger.phases import WriterPhase
from streams.ledger.pool_io import PoolIO
from streams.ledger.writer import LedgerWriter

LOOK_EVERY_S = 10.0

log = structlog.get_logger(__name__)


class FoldWatch:
    """Watches until the writer has folded its ledger. When nothing was read between two looks, it asks the broker, and
    ends the host if there is nothing to read."""

    def __init__(self, io: PoolIO, guard: HostGuard, writer: LedgerWriter, ledger_end: int) -> None:
        self._io, self._guard, self._writer, self._ledger_end = io, guard, writer, ledger_end
        guard.later(LOOK_EVERY_S, partial(self._look, -1))

    def _look(self, before: int) -> None:
        """`before`: the offset that the fold waited for at the last look."""
        if self._writer.phase is not WriterPhase.OPENING:
            return
        offset = self._writer.next_offset
        if offset == before:
            self._guard.spawn(self._require(offset))
        self._guard.later(LOOK_EVERY_S, partial(self._look, offset))

    async def _require(self, offset: int) -> None:
        try:
            if await self._io.has_ledger(offset, self._ledger_end):
                return
        except OffsetGone:  # the log was cut since: it begins behind the record, or ends before the end it had
            pass
        except Exception as error:  # a broker that is away: the next look asks again
            log.warning("the broker did not say what the ledger holds", offset=offset, found=without_words(error))
            return
        if self._writer.next_offset == offset and self._writer.phase is WriterPhase.OPENING:
            raise PoolEnds(
                f"expected the ledger to hold a record from offset {offset} on, before its end {self._ledger_end},"
                " found none: records were deleted, or somebody wrote to it in a transaction; run `headrace audit"
                " verify`",
                PoolRest.LONG,
            )
