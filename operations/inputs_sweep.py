"""Removing prepared media that no job needs any more, and what was stored of preparations that do not count.

Theory of operation. As for results (operations.result_sweep) an object is removed only if an event of the ledger names
it, and a lease has passed since: its preparation was closed or its inputs were dropped, or its job has ended, or was
erased. A worker that is cut off may store long after that: its report stands among the inputs of a batch, and names the
preparation once more. The store is listed first, so that only preparations of which something is there are remembered
while the ledger is read. The owner of refused media reads why, so that sentence stays, until the job is erased.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from contract.batch import Batch
from contract.events import (
    Event,
    InputsDropped,
    InputsPrepared,
    InputsRefused,
    JobErased,
    PreparationClosed,
    PreparationOrdered,
)
from contract.inputs import NodeReport
from contract.lifecycle import ENDINGS
from contract.preparation_reports import PreparationDone, PreparationRefused
from contract.prepared import REFUSAL_NAME, inputs_prefix
from operations.result_sweep import REST_MS
from runtime.object_store import ObjectStore

Place = tuple[str, str]
"""(job, preparation)."""


class InputsSwept(NamedTuple):
    preparations: int
    """Preparations of which something was removed."""
    objects: int


class InputsSweep:
    """Of one pool. Takes batches in their order, only those that count, from the ledger's beginning."""

    def __init__(self, store: ObjectStore, pool: str) -> None:
        """StoreFault."""
        self._store = store
        self._keys: dict[Place, list[str]] = defaultdict(list)
        for digit in "0123456789abcdef":  # one listing has its most keys (runtime.object_store.LISTED_MAX)
            for key in store.list(inputs_prefix(f"{pool}-{digit}").removesuffix("/")):
                _, job, preparation = key.split("/")[:3]
                self._keys[job, preparation].append(key)
        self._jobs: dict[str, list[str]] = defaultdict(list)
        """By job: its preparations in the store."""
        for job, preparation in self._keys:
            self._jobs[job].append(preparation)
        self._inputs: dict[str, str] = {}
        """By job that has not ended: the preparation whose inputs it has."""
        self._unneeded_ms: dict[Place, int] = {}
        """When the ledger named the preparation last, of those that nobody needs."""
        self._erased: dict[Place, int] = {}
        self._refused: set[Place] = set()

    def watching(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches, each taken."""
        for batch in batches:
            self.take(batch)
            yield batch

    def take(self, batch: Batch) -> None:
        for event in batch.events:
            if getattr(event, "job", "") in self._jobs:
                self._take_event(event, batch.now_ms)
        for place in _said_to_be_stored(batch):
            for named in (self._unneeded_ms, self._erased):
                if place in named:
                    named[place] = batch.now_ms

    def _take_event(self, event: Event, now_ms: int) -> None:
        match event:
            case PreparationOrdered(job, preparation):
                self._erased.pop((job, preparation), None)  # the erasure was of an earlier life of the job
            case PreparationClosed(job, preparation):
                self._unneeded_ms[job, preparation] = now_ms
            case InputsPrepared(job, preparation):
                self._inputs[job] = preparation
            case InputsDropped(job, preparation):
                self._end(job, now_ms)
            case InputsRefused(job, preparation):
                self._unneeded_ms[job, preparation] = now_ms
                self._refused.add((job, preparation))
            case JobErased(job):
                self._erased |= {(job, preparation): now_ms for preparation in self._jobs[job]}
            case _ if type(event).__name__ in ENDINGS:
                self._end(event.job, now_ms)  # type: ignore[union-attr]

    def _end(self, job: str, now_ms: int) -> None:
        """Nobody needs the job's inputs any more."""
        preparation = self._inputs.pop(job, None)
        if preparation is not None:
            self._unneeded_ms[job, preparation] = now_ms

    def remove(self, now_ms: int) -> InputsSwept:
        """Remove what may be removed now. StoreFault; it may be begun anew at any time."""
        preparations = objects = 0
        for place, keys in self._keys.items():
            due = self._due(place, keys, now_ms)
            self._store.delete(due)
            preparations += bool(due)
            objects += len(due)
        return InputsSwept(preparations, objects)

    def _due(self, place: Place, keys: list[str], now_ms: int) -> list[str]:
        if place in self._erased:
            return keys if self._erased[place] + REST_MS <= now_ms else []
        if place not in self._unneeded_ms or self._unneeded_ms[place] + REST_MS > now_ms:
            return []
        kept = f"/{REFUSAL_NAME}" if place in self._refused else "\0"
        return [key for key in keys if not key.endswith(kept)]


def _said_to_be_stored(batch: Batch) -> Iterator[Place]:
    """Of every report of the batch that says that something is stored, whether it counted or not."""
    for given in batch.inputs:
        body = given.body
        for report in body.reports if isinstance(body, NodeReport) else ():
            if isinstance(report, PreparationDone | PreparationRefused):
                yield report.job, report.preparation
