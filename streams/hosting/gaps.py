"""Which stretches of a log hold no record: what the fetches of this process proved.

Theory of operation. Offsets have gaps: markers of transactions, batches that were aborted, records that were compacted.
Whoever follows a log cannot tell a gap from records that were left out, unless it knows what lies between. The fetch
knows: it walks the batches of the log one by one. What it proves is a fact about the log, true whoever has lost its
place meanwhile, and travels two ways: with the record that comes after a gap (Record.follows), and here, for a gap that
no record has come after yet.
"""

from __future__ import annotations


class Gaps:
    """The newest stretch of each partition that is proven to hold no record. Written by the fetching thread, read by
    any."""

    def __init__(self) -> None:
        self._stretches: dict[tuple[str, int], tuple[int, int]] = {}

    def prove(self, topic: str, partition: int, start: int, end: int) -> None:
        """No record lies at start <= offset < end."""
        if start < end:
            self._stretches[topic, partition] = (self.start_of(topic, partition, start), end)

    def start_of(self, topic: str, partition: int, end: int) -> int:
        """The first offset of the stretch that ends at `end`; `end` itself when none is known."""
        start, known_end = self._stretches.get((topic, partition), (end, end))
        return start if known_end == end else end

    def past(self, topic: str, partition: int, offset: int) -> int:
        """The first offset at or after `offset` that may hold a record, as far as is known."""
        start, end = self._stretches.get((topic, partition), (offset, offset))
        return end if start <= offset < end else offset


PROVEN = Gaps()
"""What the consumer of this process proved (streams.hosting.fetching); it reads one topic."""
