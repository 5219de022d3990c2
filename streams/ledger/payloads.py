"""Payloads of the jobs that will soon be dispatched: a cache that can be thrown away.

A node reads a payload that is not here from `jobs`, by offset. So the bound costs a little latency, never a job.
"""

from __future__ import annotations

from contract.batch import Batch
from contract.events import JobAccepted, JobPreparing
from contract.inputs import JobSubmitted
from contract.lifecycle import TERMINAL, TRANSITIONS
from contract.orders import Payload

PAYLOADS_BYTES_MAX = 64 * 1024 * 1024
"""Of the payloads of one pool."""
ENTRY_BYTES = 500
"""About what an entry costs in memory beside the bytes of its payload."""

_NEEDED_NO_MORE = frozenset(
    {"AttemptStarted", *(event for ways in TRANSITIONS.values() for event, state in ways.items() if state in TERMINAL)}
)
"""Events after which a job needs its payload here no more: its node has the payload, or the job has ended."""


class PayloadCache:
    """Payloads by their offset in `jobs`, bounded in bytes.

    Held are payloads that no batch has read yet, and payloads of jobs that wait; nothing else. Jobs are dispatched
    about oldest first, so a full cache turns newcomers away: the payloads that it holds are needed sooner.
    """

    __slots__ = ("_bytes", "_bytes_max", "_held", "_jobs")

    def __init__(self, bytes_max: int = PAYLOADS_BYTES_MAX) -> None:
        self._held: dict[int, tuple[Payload, str, int]] = {}
        self._jobs: dict[str, int] = {}
        """Offsets of the held payloads that made a job, by job."""
        self._bytes, self._bytes_max = 0, bytes_max

    def hold(self, offset: int, record: JobSubmitted, traceparent: str) -> None:
        """Keep the payload of the record at `offset` of `jobs`, if there is room. `settle` drops it."""
        size = memoryview(record.inputs).nbytes + (1 + len(record.outputs)) * ENTRY_BYTES
        if self._bytes + size <= self._bytes_max:
            self._held[offset] = (Payload(record.inputs, record.salt, record.outputs), traceparent, size)
            self._bytes += size

    def get(self, offset: int) -> tuple[Payload | None, str]:
        """The payload that lies at `offset`, and the traceparent of its submitter. (None, "") when it is not held."""
        found = self._held.get(offset)
        return found[:2] if found else (None, "")

    def settle(self, batch: Batch) -> None:
        """This batch is in the ledger: drop the payloads that it read and made no job of, and the payloads of jobs that
        started or ended in it."""
        made = (event for event in batch.events if isinstance(event, JobAccepted | JobPreparing))
        accepted = {event.offset: event.job for event in made}
        for given in batch.inputs:
            if given.offset not in self._held:
                continue
            if given.offset in accepted:
                self._jobs[accepted[given.offset]] = given.offset
            else:
                self._drop(given.offset)
        for event in batch.events:
            if type(event).__name__ in _NEEDED_NO_MORE:
                self._drop(self._jobs.pop(getattr(event, "job", ""), -1))

    def _drop(self, offset: int) -> None:
        found = self._held.pop(offset, None)
        if found:
            self._bytes -= found[2]

    def __len__(self) -> int:
        return len(self._held)
