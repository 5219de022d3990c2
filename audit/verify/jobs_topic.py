"""I1 against the topic `jobs`: the ledger has read each record of the topic once, as it lies there.

Both sides are in offset order, so one pass over the records that are still kept goes along with the batches. A record
that compaction, a tombstone or retention took can't be compared: only the ledger's own input is left of it.

Who signed a record is compared with what the record says. Whether the signature is right only the scheduler could tell:
an auditor has no installation key, and the key may have been replaced since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from audit.ledger.reader import JobsRecord, key_bytes
from audit.verify.verdict import Finding
from contract import signers, signing
from contract.batch import Batch
from contract.codec import Malformed, body_of, decode_input, decode_key, decode_wire
from contract.events import Opened
from contract.inputs import Body, Input, JobSubmitted, Submission, Unreadable, Wire
from contract.join_tokens import claimed_until_ms


class JobsTopic:
    """The records of `jobs` that are still kept, compared with each batch that counts, in order."""

    def __init__(self, records: Iterable[JobsRecord], kept_from: int) -> None:
        """`kept_from` is the offset of the first record that the topic still keeps."""
        self._records: Iterator[JobsRecord] = iter(records)
        self._next: JobsRecord | None = next(self._records, None)
        self._kept_from = kept_from
        self._signed_from = -1
        """As the Opened of the scheduler that leads says."""
        self.submissions = 0
        """Submissions in `jobs` that the ledger read."""

    def compare(self, offset: int, batch: Batch) -> list[Finding]:
        """What is wrong with the inputs of the batch at this offset of the ledger."""
        for event in batch.events:
            if isinstance(event, Opened):
                self._signed_from = event.signed_from
        given = {entry.offset: entry for entry in batch.inputs if entry.offset >= self._kept_from}
        found = []
        while self._next is not None and self._next.offset < batch.position:
            record, self._next = self._next, next(self._records, None)
            wrong = self._difference(record, given.get(record.offset))
            if wrong:
                found.append(Finding(offset, "I1", f"offset {record.offset} of `jobs` {wrong}"))
        return found

    def unread(self) -> list[str]:
        """Jobs whose submission lies at or after the ledger's last position: they are not lost, they are not read
        yet."""
        waiting = []
        while self._next is not None:
            record, self._next = self._next, next(self._records, None)
            body, _ = _bodies(record)
            if isinstance(body, Submission):
                waiting.append(body.job)
        return waiting

    def _difference(self, record: JobsRecord, entry: Input | None) -> str:
        if entry is None:
            return "was passed over: the ledger's positions go past it and no batch read it"
        body, as_written = _bodies(record)
        if isinstance(entry.body, Unreadable):
            return self._difference_of_refused(record, entry.body.reason)
        if entry.body not in (body, as_written):
            return "says something else than the ledger's copy of it"
        if entry.signer != self._signer(record):
            return f"is signed by {self._signer(record) or 'nobody'}, the ledger says {entry.signer or 'nobody'}"
        until_ms = claimed_until_ms(record.headers) if entry.token_until_ms else 0
        if entry.token_until_ms != until_ms:
            return f"has a join token until {until_ms}, the ledger says {entry.token_until_ms}"
        if entry.at_ms != record.at_ms:
            return f"was appended at {record.at_ms}, the ledger says {entry.at_ms}"
        if isinstance(body, Submission):
            self.submissions += 1
            if entry.key != record.key:
                return "has another key than the ledger says: an erasure would miss it"
        return ""

    def _difference_of_refused(self, record: JobsRecord, reason: str) -> str:
        if not _is_taken(record) or reason == self._refusal(record):
            return ""
        if reason in (signing.OTHER_KEY, signing.WRONG) and self._signer(record):
            return ""  # the signature is there, and only the scheduler could tell that it was not right
        return "is readable, and the ledger calls it unreadable"

    def _signer(self, record: JobsRecord) -> str:
        """Who the record says has signed it; empty where nobody need have."""
        if not 0 <= self._signed_from <= record.offset:
            return ""
        try:
            return signing.claimed(record.headers).signer
        except signing.SignatureRefused:
            return ""

    def _refusal(self, record: JobsRecord) -> str:
        """Why the scheduler must refuse what the record says of its signer; empty when it need not."""
        if not 0 <= self._signed_from <= record.offset:
            return ""
        try:
            signer = signing.claimed(record.headers).signer
        except signing.SignatureRefused as refused:
            return str(refused)
        return signers.refusal_of(signer, body_of(decode_wire(record.value)))


def _is_taken(record: JobsRecord) -> bool:
    """Today's door of the scheduler takes the record. The door takes less than the types with which history is read."""
    try:
        said = decode_input(record.value)
        if isinstance(said, JobSubmitted):
            decode_key(key_bytes(record.key))
    except Malformed:
        return False
    return True


def _bodies(record: JobsRecord) -> tuple[Body, Wire | Body]:
    """What the scheduler reads of the record; and the record as its writer wrote it, which is what rules before 4
    recorded."""
    try:
        wire = decode_wire(record.value)
    except Malformed:
        unreadable = Unreadable("not a record of `jobs`")
        return unreadable, unreadable
    return body_of(wire), wire
