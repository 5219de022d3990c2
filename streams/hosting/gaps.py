"""Which stretches of a log hold no record: what the fetches of this process proved.

Theory of operation. Offsets have gaps: markers of transactions, aborted batches, compacted records. A follower cannot
tell a gap from records that were left out unless it knows what lies between. A fetch knows, because it walks the
batches of the log one by one. What a fetch proves is a fact about the log, and stays true when Faust loses its place.
Proofs travel two ways: with the record that comes after a gap (Record.follows), and here, for a gap after which no
record has come yet.
"""

from __future__ import annotations


class Gaps:
    """The newest stretch of each partition that is proven to hold no record. The fetching thread writes; any thread may
    read."""

    def __init__(self) -> None:
        self._stretches: dict[tuple[str, int], tuple[int, int]] = {}

    def prove(self, topic: str, partition: int, start: int, end: int) -> None:
        """No record lies at start <= offset < end."""
        if start < end:
            self._stretches[topic, partition] = (self.start_of(topic, partition, start), end)

    def start_of(self, topic: str, partition: int, end: int) -> int:
        """The first offset of the proven stretch that ends at `end`; `end` itself when no such stretch is known."""
        start, known_end = self._stretches.get((topic, partition), (end, end))
        return start if known_end == end else end

    def past(self, topic: str, partition: int, offset: int) -> int:
        """The first offset at or after `offset` that may hold a record, as far as is known."""
        start, end = self._stretches.get((topic, partition), (offset, offset))
        return end if start <= offset < end else offset


PROVEN = Gaps()
"""What the consumer of this process proved (streams.hosting.fetching). A process has one consumer, of one topic."""
