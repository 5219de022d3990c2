"""The inputs that a pool's writer has received and not decided yet, and how they are cut into batches."""

from __future__ import annotations

from collections import deque
from itertools import islice

from contract.batch import BATCH_INPUTS_MAX, INPUT_BYTES_MAX
from contract.inputs import Input, NodeHeartbeat, NodeReport

OF_NODES = (NodeReport, NodeHeartbeat)


class PendingInputs:
    """Inputs of one pool, oldest first."""

    __slots__ = ("_urgent", "_waiting", "next_offset")

    def __init__(self) -> None:
        self.next_offset = 0
        """Of `jobs`: the next record to add. Records with smaller offsets are dropped."""
        self._waiting: deque[tuple[Input, int]] = deque()
        """Each with its size in bytes."""
        self._urgent = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, given: Input, size_bytes: int) -> None:
        if given.offset >= self.next_offset:
            self.next_offset = given.offset + 1
            self._waiting.append((given, size_bytes))
            self._urgent += not isinstance(given.body, OF_NODES)

    def skip_to(self, offset: int) -> None:
        """`jobs` holds no record from `next_offset` up to `offset` (compacted or expired)."""
        self.next_offset = max(self.next_offset, offset)

    @property
    def are_urgent(self) -> bool:
        """At least one is more than the words of a node."""
        return self._urgent > 0

    @property
    def fill_a_batch(self) -> bool:
        return len(self._waiting) >= BATCH_INPUTS_MAX

    def for_next_batch(self) -> tuple[Input, ...]:
        """The oldest inputs, no more than a batch may have; at least one if any is pending."""
        inputs: list[Input] = []
        size_bytes = 0
        for given, size in islice(self._waiting, BATCH_INPUTS_MAX):
            if inputs and size_bytes + size > INPUT_BYTES_MAX:
                break
            size_bytes += size
            inputs.append(given)
        return tuple(inputs)

    def position_after(self, judged: int, position: int) -> int:
        """Where to read `jobs` on after the oldest `judged` inputs; `position` is where the pool is now."""
        if judged == len(self._waiting):
            return max(position, self.next_offset)
        return self._waiting[judged - 1][0].offset + 1 if judged else position

    def drop(self, judged: int) -> None:
        """The oldest `judged` inputs are judged and wait no longer."""
        for _ in range(judged):
            given, _size = self._waiting.popleft()
            self._urgent -= not isinstance(given.body, OF_NODES)
