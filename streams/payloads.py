"""What users wrote, held for the jobs that will soon be dispatched: a cache that can be thrown away.

A payload that is not here is read by the node from `jobs` by offset, so the bound costs a little latency, never a job.
"""

from __future__ import annotations

from collections.abc import Iterable

from contract.events import (
    AttemptStarted,
    Event,
    InputQuarantined,
    JobCancelled,
    JobDeadLettered,
    JobExpired,
    JobQuarantined,
    JobRefused,
)
from contract.inputs import JobSubmitted
from contract.orders import Payload

PAYLOADS_BYTES_MAX = 64 * 1024 * 1024
"""Of one pool."""
ENTRY_BYTES = 500
"""About what an entry costs beside the payload's own bytes."""

_NEEDED_NO_MORE = (
    AttemptStarted,
    InputQuarantined,
    JobCancelled,
    JobDeadLettered,
    JobExpired,
    JobQuarantined,
    JobRefused,
)


class PayloadCache:
    """Payloads by job, bounded in bytes.

    Jobs leave the queue about oldest first, so when it is full it is the newcomers that are turned away: those held
    are the ones to go next.
    """

    __slots__ = ("_bytes", "_bytes_max", "_held")

    def __init__(self, bytes_max: int = PAYLOADS_BYTES_MAX) -> None:
        self._held: dict[str, tuple[int, Payload, str, int]] = {}
        self._bytes, self._bytes_max = 0, bytes_max

    def hold(self, offset: int, record: JobSubmitted, traceparent: str) -> None:
        """Keep the payload of the record at `offset` of `jobs` if there is room and no other copy of the job."""
        size = memoryview(record.inputs).nbytes + ENTRY_BYTES
        job = record.submission.job
        if self._bytes + size <= self._bytes_max and job not in self._held:
            self._held[job] = (offset, Payload(record.inputs, record.salt), traceparent, size)
            self._bytes += size

    def get(self, job: str, offset: int) -> tuple[Payload | None, str]:
        """The payload that lies at `offset` and its submitter's traceparent; (None, "") when it is not held."""
        found = self._held.get(job)
        return (found[1], found[2]) if found and found[0] == offset else (None, "")

    def forget(self, events: Iterable[Event]) -> None:
        """Let go of the words of jobs that have started or ended by these events."""
        for event in events:
            if isinstance(event, _NEEDED_NO_MORE):
                found = self._held.pop(event.job, None)
                if found:
                    self._bytes -= found[3]

    def __len__(self) -> int:
        return len(self._held)
