"""Erasing what a user wrote: every copy of a job's words goes, and the history stays whole.

Theory of operation. No history is rewritten, because no history holds words. `EraseRequested` ends the job if it has
not ended. Once the ledger has ended the job, the views know every copy that was read up to then: the accepted record
and each duplicate. Each copy is buried under a tombstone of its key, and compaction of `jobs` removes the copy.
Results, and the inputs beside them, are deleted, and so are
prepared media. `ErasureCompleted` puts all that on record. Copies that came meanwhile
are found and buried in another round. Every step may be done again: run an erasure that was cut short once more to
finish it.

Until `gone_by_ms` the brokers' disks may still hold what compaction and retention have not taken yet. That time holds
only if the pool's `jobs` partition is written to meanwhile (any node's heartbeat is enough): Kafka does not compact a
segment to which it still appends.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from sqlalchemy import Engine, text

from contract import inputs
from contract.lifecycle import TERMINAL
from contract.names import pool_of
from contract.policy import Policy
from contract.prepared import inputs_prefix
from contract.results import result_prefix
from contract.signing import RecordSigner
from runtime import jobs_writer
from runtime.kafka import Delivery, Producer
from runtime.kafka_credentials import Brokers
from runtime.object_store import ObjectStore
from views import queries
from views.rows import UNREADABLE

SOURCE = "headrace/erase"
ROUNDS_MAX = 5
"""Most rounds of finding copies. A client that goes on submitting the same job brings new copies in each round."""
LOOK_EVERY_S = 0.1
CLEANING_MS_MAX = 360_000
"""Kafka's own pace at its slowest: 5 min between two looks at retention, and 1 min until a deleted file goes."""


def bury(producer: Producer, signer: RecordSigner, partition: int, key: str) -> Delivery:
    """Write the tombstone of the record with this key in this partition of `jobs`. DeliveryUnclear."""
    tombstone = signer.tombstone(partition=partition, key=key.encode(), event_id=uuid.uuid4().hex, source=SOURCE)
    return jobs_writer.send_and_wait(producer, tombstone)


def say(
    producer: Producer, signer: RecordSigner, partition: int, body: inputs.EraseRequested | inputs.ErasureCompleted
) -> Delivery:
    """Write the record to this partition of `jobs`. DeliveryUnclear."""
    key = uuid.uuid4().hex
    record = signer.record(body, partition=partition, key=key.encode(), event_id=key, source=SOURCE)
    return jobs_writer.send_and_wait(producer, record)


class NothingToErase(LookupError):
    """No submission of the job has been read, or the views do not know its pool. The message says what to do."""


class ErasureUnfinished(TimeoutError):
    """Something did not happen in time. Run the erasure again: it goes on where it stopped."""


class ErasureDone(msgspec.Struct, frozen=True):
    """What an erasure removed."""

    job: str
    offsets: tuple[int, ...]
    """Offsets of the copies in `jobs` that were buried."""
    objects: int
    """Objects deleted from the store."""
    gone_by_ms: int
    """When the last copy is gone from every topic's files, by the broker's clock."""


OFFSETS_MAX = 5_000
"""Of one record: as many offsets of 16 digits as the scheduler's door takes in it (contract.bounds.RECORD_BYTES_MAX). A
client that tries again for days makes more copies of a job than that."""


def completed(job: str, offsets: list[int], gone_by_ms: int) -> list[inputs.ErasureCompleted]:
    """What is said when these copies are buried: one record or several."""
    return [
        inputs.ErasureCompleted(job, tuple(offsets[first : first + OFFSETS_MAX]), gone_by_ms)
        for first in range(0, max(1, len(offsets)), OFFSETS_MAX)
    ]


def words_gone_after_ms(policy: Policy) -> int:
    """How long after its tombstone a word may still lie in a file of a topic, by the settings in contract.topics.

    A short-lived topic closes a segment within a third of `words_kept_ms` and keeps it for `words_kept_ms` more;
    `jobs` closes and compacts within two thirds of that time. The broker looks at either only now and then."""
    kept_ms = policy.words_kept_ms
    return kept_ms + max(1000, kept_ms // 3) + min(CLEANING_MS_MAX, kept_ms // 5)


def erase(
    job: str,
    *,
    kafka: Brokers,
    signer: RecordSigner,
    engine: Engine,
    store: ObjectStore,
    timeout_s: float = 120.0,
    tell: Callable[[str], None] = lambda line: None,
) -> ErasureDone:
    """Erases the words of a job, as an operator. `tell` is told each step in words.

    A running attempt is killed first, and its node has to report that before the erasure goes on. ValueError when `job`
    is no job id; NothingToErase; ErasureUnfinished; DeliveryUnclear when the broker can't be written to."""
    producer = Producer(kafka, "headrace-erase")
    try:
        return _Erasing(job, producer, signer, engine, store, time.monotonic() + timeout_s, tell).run()
    finally:
        producer.close()


class _Standing(NamedTuple):
    """What the views say of the job and of its pool at one moment."""

    known: bool
    ended: bool
    erased: bool
    position: int
    """Offset in `jobs` up to which the ledger has read, as far as the views have the ledger."""
    copies: dict[int, str]
    """Key of each copy in `jobs`, by the copy's offset."""


class _Erasing:
    def __init__(
        self,
        job: str,
        producer: Producer,
        signer: RecordSigner,
        engine: Engine,
        store: ObjectStore,
        deadline: float,
        tell: Callable[[str], None],
    ) -> None:
        self.job, self.pool = job, pool_of(job)
        self.producer, self.signer, self.engine, self.store = producer, signer, engine, store
        self.deadline, self.tell = deadline, tell
        self.policy = self._policy()
        self.partition = self.policy.pools[self.pool].partition
        self.pause = threading.Event()

    def run(self) -> ErasureDone:
        asked = self._say(inputs.EraseRequested(self.job))
        self.tell(f"asked for the erasure of {self.job}; it is ended first if it has not ended")
        standing = self._await(
            lambda s: s.position > asked.offset and (s.ended or not s.known),
            "the scheduler to read the request and the job to end",
        )
        if not standing.known and not standing.copies and not self._has_objects():
            raise NothingToErase(
                f"expected a job {self.job} in pool {self.pool}, found no submission of it; if it was sent to"
                " `submissions` just now, wait until it was copied and erase it then"
            )
        buried: dict[int, str] = {}
        objects, gone_by_ms = 0, 0
        for _ in range(ROUNDS_MAX):
            fresh = {offset: key for offset, key in standing.copies.items() if offset not in buried}
            last = self._bury(fresh)
            buried |= fresh
            objects += sum(self.store.delete_prefix(prefix) for prefix in self._prefixes())
            gone_by_ms = max(gone_by_ms, (last or asked).timestamp_ms + words_gone_after_ms(self.policy))
            done = self._say_completed(sorted(buried), gone_by_ms)
            standing = self._await(
                lambda s, done=done: s.position > done.offset and (s.erased or not s.known),  # type: ignore[misc]
                "the erasure to be recorded",
            )
            if not standing.copies.keys() - buried.keys():
                self.tell(f"{len(buried)} copies buried, {objects} objects deleted, and it is on record")
                return ErasureDone(self.job, tuple(sorted(buried)), objects, gone_by_ms)
            self.tell("another copy was submitted meanwhile: once more")
        raise ErasureUnfinished(
            f"new copies of {self.job} kept coming in {ROUNDS_MAX} rounds: stop whoever submits it, then erase it again"
        )

    def _has_objects(self) -> bool:
        """A job that left the views (operations.retention) may have objects."""
        return any(self.store.list(prefix) for prefix in self._prefixes())

    def _prefixes(self) -> tuple[str, str]:
        """Below which everything goes: results with the inputs beside them, and media prepared, kept or refused."""
        return result_prefix(self.job), inputs_prefix(self.job)

    def _say_completed(self, offsets: list[int], gone_by_ms: int) -> Delivery:
        """In as many records as the offsets need. Returns the last one's delivery."""
        *first, last = completed(self.job, offsets, gone_by_ms)
        for record in first:
            self._say(record)
        return self._say(last)

    def _bury(self, copies: dict[int, str]) -> Delivery | None:
        """Writes a tombstone for each copy. Returns the last tombstone's delivery; None when there is no copy."""
        last = None
        for offset, key in sorted(copies.items()):
            last = bury(self.producer, self.signer, self.partition, key)
            self.tell(f"the copy at offset {offset} of `jobs` is under a tombstone")
        return last

    def _say(self, body: inputs.EraseRequested | inputs.ErasureCompleted) -> Delivery:
        return say(self.producer, self.signer, self.partition, body)

    # -- the views --------------------------------------------------------------------------------------------

    def _policy(self) -> Policy:
        with self.engine.connect() as connection:
            found = {view.pool: view.policy for view in queries.policies(connection)}
        if self.pool not in found or self.pool not in found[self.pool].pools:
            pools = ", ".join(sorted(found)) or "none"
            raise NothingToErase(
                f"expected pool {self.pool} among those the views know ({pools}): is the projector running?"
            )
        return found[self.pool]

    def _standing(self) -> _Standing:
        """Reads everything in one snapshot: the projector commits a batch's rows and the position together."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
            row = connection.execute(
                text("SELECT state, ended_ms FROM views.jobs WHERE job = :job"), {"job": self.job}
            ).one_or_none()
            read = connection.execute(
                text("SELECT position FROM views.ledger_positions WHERE pool = :pool"), {"pool": self.pool}
            ).scalar_one_or_none()
            on_record = connection.execute(
                text("SELECT count(*) FROM views.job_events WHERE job = :job AND event = 'JobErased'"),
                {"job": self.job},
            ).scalar_one()
            copies = {copy.offset: copy.key for copy in queries.job_copies(connection, self.job)}
        ended = row is not None and (row.state in TERMINAL or (row.state == UNREADABLE and row.ended_ms is not None))
        return _Standing(row is not None, ended, on_record > 0, read or 0, copies)

    def _await(self, holds: Callable[[_Standing], bool], what: str) -> _Standing:
        while True:
            standing = self._standing()
            if holds(standing):
                return standing
            if time.monotonic() > self.deadline:
                raise ErasureUnfinished(
                    f"expected {what} in time, found the job {'ended' if standing.ended else 'not ended'} and `jobs`"
                    f" read up to {standing.position}; see that scheduler, projector and nodes run, then erase again"
                )
            self.pause.wait(LOOK_EVERY_S)
