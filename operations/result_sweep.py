"""Removing results that do not count: what attempts left that the ledger closed, and what was stored after an erasure.

Theory of operation. An object is removed only if an event of the ledger names its attempt as closed without counting,
or its job as erased, and a lease has passed since; never because a table does not know it (design section 5). A node
that is cut off may store long after that: its report, when the node is heard again, stands among the inputs of a batch
and names the attempt once more. What a node stored and never reported lies under a name that was closed before, so
every sweep, which begins at the ledger's beginning, finds it. The owner of a failed attempt reads its error and log, so
these stay, until the job is erased. Long after an erasure the same id may be a new life of the job (design section 4):
the erasure says nothing of attempts that started after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from contract.batch import Batch
from contract.events import AttemptClosed, AttemptFailed, AttemptStarted, JobErased, JobSucceeded
from contract.inputs import NodeReport, Succeeded
from contract.results import ERROR_NAME, LOG_NAME, attempt_prefix, result_prefix
from runtime.object_store import ObjectStore

REST_MS = 300_000
"""How long after its close an attempt's objects stay: ten leases, as a policy has them unless an operator changed that.
A node that is alive has heard by then that its attempt is closed, and stores no more."""
KEPT_NAMES = (ERROR_NAME, LOG_NAME)


class Swept(NamedTuple):
    attempts: int
    """Attempts of which something was removed."""
    objects: int


class ErasedJob:
    """What may be removed of a job since its erasure."""

    def __init__(self, named_ms: int) -> None:
        self.named_ms = named_ms
        """When the job was erased, or named last after that."""
        self.later: set[str] = set()
        """Dispatches that started after the erasure, in a new life of the job."""


class Uncounted:
    """What the ledger says does not count. For one pool; batches in their order, only those that count."""

    def __init__(self) -> None:
        self._started: set[str] = set()
        """Dispatches that have started and are open. What never started left nothing."""
        self._closed: dict[str, tuple[str, int]] = {}
        """By dispatch that started and did not count: its job, and when the ledger named it last."""
        self._erased: dict[str, ErasedJob] = {}

    def take(self, batch: Batch) -> None:
        counted = set()
        for event in batch.events:
            match event:
                case AttemptStarted(job, dispatch):
                    self._started.add(dispatch)
                    if job in self._erased:
                        self._erased[job].later.add(dispatch)
                case JobSucceeded(_, dispatch):
                    self._started.discard(dispatch)
                    counted.add(dispatch)
                case AttemptFailed(job, dispatch) | AttemptClosed(job, dispatch):
                    if dispatch in self._started:
                        self._started.remove(dispatch)
                        self._closed[dispatch] = (job, batch.now_ms)
                case JobErased(job):
                    self._erased[job] = ErasedJob(batch.now_ms)
        for job, dispatch in _said_to_be_stored(batch):
            if dispatch not in counted and dispatch in self._closed:
                self._closed[dispatch] = (job, batch.now_ms)
            if self._is_erased(job, dispatch):
                self._erased[job].named_ms = batch.now_ms

    def due(self, now_ms: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(prefix, what stays of the keys with it: their next part) of all that may be removed at `now_ms`."""
        for job, erased in self._erased.items():
            if erased.named_ms + REST_MS <= now_ms:
                yield result_prefix(job), tuple(erased.later)
        for dispatch, (job, named_ms) in self._closed.items():
            if named_ms + REST_MS <= now_ms and not self._is_erased(job, dispatch):
                yield attempt_prefix(job, dispatch), KEPT_NAMES

    def _is_erased(self, job: str, dispatch: str) -> bool:
        return job in self._erased and dispatch not in self._erased[job].later


def sweep(store: ObjectStore, batches: Iterable[Batch], now_ms: int) -> Swept:
    """Remove what does not count. `batches`: of one pool, from its ledger's beginning, those that count. StoreFault; it
    may be begun anew at any time."""
    uncounted = Uncounted()
    for batch in batches:
        uncounted.take(batch)
    attempts = objects = 0
    for prefix, kept in uncounted.due(now_ms):
        keys = [key for key in store.list(prefix) if key.removeprefix(prefix).partition("/")[0] not in kept]
        store.delete(keys)
        attempts += bool(keys)
        objects += len(keys)
    return Swept(attempts, objects)


def _said_to_be_stored(batch: Batch) -> Iterator[tuple[str, str]]:
    """(job, dispatch) of every report of the batch that says a result is stored, whether it counted or not."""
    for given in batch.inputs:
        body = given.body
        for report in body.reports if isinstance(body, NodeReport) else (body,):
            if isinstance(report, Succeeded):
                yield report.job, report.dispatch
