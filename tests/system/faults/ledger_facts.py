"""What the ledger says of a run, by a reader of its own."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from contract.batch import GENESIS, Batch, hash_of
from contract.codec import decode_batch
from contract.events import AttemptClosed, AttemptFailed, InputQuarantined, JobAccepted, JobPreparing, JobSucceeded
from contract.lifecycle import ENDINGS
from contract.topics import LEDGER
from runtime.kafka import offsets, read_range
from runtime.kafka_credentials import Brokers


class LedgerFacts:
    def __init__(self, batches: Sequence[Batch]) -> None:
        """`batches`: of one pool, those that count."""
        self.batches = batches
        self.ends: dict[str, list[str]] = collections.defaultdict(list)
        """By job: the names of the events that ended it."""
        self.winners: dict[str, tuple[str, str]] = {}
        """By job: the dispatch whose result was accepted, and its manifest."""
        self.models: dict[str, str] = {}
        self.lost: list[AttemptClosed] = []
        """Closes that count as failures."""
        self.failed: list[AttemptFailed] = []
        """Failures that count."""
        self.set_aside: collections.Counter[int] = collections.Counter()
        """Offsets in `jobs` that were not acted on, and how often the ledger says so."""
        for batch in self.batches:
            for event in batch.events:
                self._take(event)

    def open_of(self, jobs: Sequence[str]) -> list[str]:
        """Those that have not ended."""
        return [job for job in jobs if job not in self.ends]

    def _take(self, event: object) -> None:
        name = type(event).__name__
        if name in ENDINGS:
            self.ends[str(getattr(event, "job"))].append(name)  # noqa: B009 (an event of any type that ends a job)
        match event:
            case JobAccepted() | JobPreparing():
                self.models[event.job] = event.model
            case JobSucceeded():
                self.winners[event.job] = (event.dispatch, event.manifest)
            case AttemptClosed(counts=True):
                self.lost.append(event)
            case AttemptFailed(counts=True):
                self.failed.append(event)
            case InputQuarantined():
                self.set_aside[event.offset] += 1


def ledger_now(kafka: Brokers) -> LedgerFacts:
    """Pool main's ledger up to now."""
    return LedgerFacts(list(_counted(kafka)))


def _counted(kafka: Brokers) -> Iterator[Batch]:
    head = GENESIS
    for record in read_range(kafka, LEDGER, 0, *offsets(kafka, LEDGER, 0)):
        batch = decode_batch(record.value)
        if batch.prev_hash == head:  # else a zombie's
            head = hash_of(record.value or b"")
            yield batch
