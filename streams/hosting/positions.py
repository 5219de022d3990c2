"""Whether a delivered record is the one that is wanted next. Faust's own positions are not trusted.

Theory of operation. Whoever knows the truth (the ledger, the views) says which offset is wanted next. Every delivered
record is compared with it:

    take   it is the wanted one, or the fetch that brought it proved that the log holds no record between
           (streams.hosting.gaps)
    drop   it was read before, or was under way when the last seek was made
    seek   records may have been left out: go back to the wanted one
    ask    the same larger offset came again after a seek: either the wanted records have expired, or Faust jumped
           ahead once more; only the broker knows

A proof is a fact about the log, so it holds wherever Faust's place went meanwhile. A jump without a proof proves
nothing.
"""

from __future__ import annotations

from enum import StrEnum


class OffsetVerdict(StrEnum):
    TAKE = "take"
    DROP = "drop"
    SEEK = "seek"
    ASK = "ask"


class Positions:
    """Which offset of one partition is wanted next."""

    __slots__ = ("_sought_from", "wanted")

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        """Offset of the next record to take."""
        self._sought_from: int | None = None

    def take(self, offset: int, follows: int | None = None) -> OffsetVerdict:
        """What to do with the delivered record at `offset`. TAKE: the next record is wanted from now on. `follows`: as
        Record.follows."""
        if offset < self.wanted:
            return OffsetVerdict.DROP
        if offset == self.wanted or (follows is not None and follows <= self.wanted):
            self.wanted = offset + 1
            self._sought_from = None
            return OffsetVerdict.TAKE
        if self._sought_from is None or offset < self._sought_from:
            self._sought_from = offset
            return OffsetVerdict.SEEK
        return OffsetVerdict.ASK if offset == self._sought_from else OffsetVerdict.DROP

    def skip_to(self, offset: int) -> None:
        """The log holds no record before `offset` that was not taken."""
        if offset > self.wanted:
            self.wanted = offset
        self._sought_from = None

    def restart(self) -> None:
        """The host seeks for a reason of its own: any larger offset counts as unknown again."""
        self._sought_from = None
