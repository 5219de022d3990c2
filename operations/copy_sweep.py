"""Burying copies of words that came after their erasure: a client or an upstream submitted the erased job once more.

Theory of operation. The doors refuse an erased job as far as the views know of its erasure. What passes in between, or
while the views are behind, is an event all the same: the ledger names every copy that the scheduler read, by offset and
key, as a duplicate, as too old, or as refused. So whoever reads the ledger finds the copies that no erasure has named,
and buries them as the erasure did. Once the id is forgotten a submission may begin a new life of the job (design
section 4): then the erasure says nothing of it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contract.batch import Batch
from contract.events import (
    ErasureOrdered,
    InputQuarantined,
    JobAccepted,
    JobDuplicated,
    JobErased,
    JobPreparing,
    JobRefused,
    PolicyAdopted,
)
from contract.policy import Policy
from contract.signing import RecordSigner
from contract.topics import JOBS_KEPT_MS
from operations.erasure import bury, completed, say, words_gone_after_ms
from runtime.kafka import Producer
from runtime.kafka_credentials import Brokers


class LateCopies:
    """What an erasure left, or what came after it. For one pool; batches in their order, only those that count."""

    def __init__(self) -> None:
        self.policy = Policy({}, {}, {})
        """The newest."""
        self._copies: dict[str, dict[int, tuple[str, int]]] = {}
        """By job whose erasure was ordered, and by offset: key, and when the ledger named the copy."""
        self._erased: set[str] = set()
        """Jobs of which an erasure is on record: until then it is under way, and finds its copies itself."""

    def watching(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches, each taken."""
        for batch in batches:
            self.take(batch)
            yield batch

    def take(self, batch: Batch) -> None:
        for event in batch.events:
            match event:
                case PolicyAdopted():
                    self.policy = event.policy
                case ErasureOrdered():
                    self._copies.setdefault(event.job, {})
                case JobErased():
                    self._erased.add(event.job)
                    for offset in event.offsets:
                        self._copies.setdefault(event.job, {}).pop(offset, None)
                case JobAccepted() | JobPreparing():
                    self._copies.pop(event.job, None)
                    self._erased.discard(event.job)
                case JobDuplicated() | InputQuarantined() | JobRefused():
                    if event.job in self._copies:
                        self._copies[event.job][event.offset] = event.key, batch.now_ms

    def due(self, now_ms: int) -> Iterator[tuple[str, dict[int, str]]]:
        """(job, keys by offset) of the copies that `jobs` may still hold."""
        for job, copies in self._copies.items():
            kept = {offset: key for offset, (key, named_ms) in copies.items() if named_ms > now_ms - JOBS_KEPT_MS}
            if job in self._erased and kept:
                yield job, kept


def bury_late_copies(brokers: Brokers, signer: RecordSigner, partition: int, late: LateCopies, now_ms: int) -> int:
    """Bury them, put it on record, and return how many there were. DeliveryUnclear: begin anew, at any time."""
    due = list(late.due(now_ms))
    if not due:
        return 0
    producer = Producer(brokers, "headrace-sweep")
    try:
        for job, copies in due:
            last = [bury(producer, signer, partition, key) for _, key in sorted(copies.items())][-1]
            gone_by_ms = last.timestamp_ms + words_gone_after_ms(late.policy)
            for record in completed(job, sorted(copies), gone_by_ms):
                say(producer, signer, partition, record)
    finally:
        producer.close()
    return sum(len(copies) for _, copies in due)
