"""Whether a ledger is what it claims to be, and every decision in it is the decision that its rules lead to.

Theory of operation. A verification reads the records once, in the log's order. `contract.chain` says which records
count. Each record that counts is judged by a second book (`second_book`), compared with `jobs` when that is at hand
(`jobs_topic`), and decided again from its recorded inputs and times by the production code (`redecide`), which must
give the same bytes. Batches of rules that this release does not have are folded, and checked by hash and by the second
book. What others remember of the ledger (snapshots, views) is compared at the record that they name: there a tail that
was cut off shows. The first damage of the chain ends the reading, because nothing after it can be believed. The first
decision that differs ends the deciding, and the checks go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from audit.ledger.diagnosis import diagnose
from audit.ledger.reader import LedgerRecord, LedgerSource
from audit.verify.anchor_check import AnchorCheck
from audit.verify.jobs_topic import JobsTopic
from audit.verify.redecide import RedecidedState, is_decision
from audit.verify.results import AcceptedResults, ManifestStore
from audit.verify.second_book import SecondBook
from audit.verify.verdict import Anchor, Finding, Verdict
from contract.batch import GENESIS, Batch
from contract.chain import Chain, Counted, Damaged
from contract.codec import decode_batch
from scheduling import invariants, snapshot

CHECK_EVERY = 5_000
"""Records that count between two checks of the core's own invariants, which look at the whole state. The last state is
checked too."""


@dataclass
class Witnesses:
    """What the ledger is held against. Each is optional; the verdict says what was at hand."""

    anchors: Sequence[Anchor] = ()
    jobs_topic: JobsTopic | None = None
    acknowledged: Iterable[str] = ()
    """Jobs that somebody was promised (202): the ledger must know each."""
    store: ManifestStore | None = None
    """The object store in which accepted results are looked up."""
    clock: Callable[[], float] = field(default=time.perf_counter)


def verify(source: LedgerSource, pool: str, witnesses: Witnesses | None = None) -> Verdict:
    """Verifies a pool's ledger from its first record on."""
    return _Verification(source, pool, witnesses or Witnesses()).run()


class _Verification:
    def __init__(self, source: LedgerSource, pool: str, witnesses: Witnesses) -> None:
        self.source, self.pool, self.witnesses = source, pool, witnesses
        self.verdict = Verdict(pool=pool)
        self.chain = Chain(pool)
        self.redecided = RedecidedState(source, pool)
        self.second_book = SecondBook()
        self.results = AcceptedResults()
        self.anchors = AnchorCheck(witnesses.anchors)
        self.promised = set(witnesses.acknowledged)
        """Acknowledged jobs that the ledger has not named so far."""
        self.before_last = -1
        """Offset of the record that counted before the last one."""
        self.lost_openings: dict[str, int] = {}
        """Opened records that do not count: the hash of the record before, and the offset."""
        self.whole = False
        """The ledger was read to its end: no damage stopped the reading."""

    def run(self) -> Verdict:
        started = self.witnesses.clock()
        self._read()
        self.verdict.seconds = self.witnesses.clock() - started
        self._finish()
        return self.verdict

    # -- records ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        last = -1
        for record in self.source():
            self.verdict.records += 1
            if not self._take(record, last):
                return
            last = record.offset
        self.whole = True

    def _take(self, record: LedgerRecord, last: int) -> bool:
        """Judges a record; `last` is the offset before. False when nothing after this record can be believed."""
        offset = record.offset
        if offset <= last:
            self._find(offset, "I14", f"it comes after offset {last}: the records are not in the log's order")
            return False
        if last < offset - 1:
            missing = f"offset {last + 1} is" if offset == last + 2 else f"offsets {last + 1} to {offset - 1} are"
            self._find(offset, "I14", f"{missing} missing before it, and a ledger keeps every record: removed")
        try:
            judged = self.chain.offer(offset, record.value)
        except Damaged as damage:
            found = diagnose(self.source, record, self.chain, damage)
            self._find(offset, "I14", found.text, self.before_last if found.head_is_suspect else None)
            return False
        if isinstance(judged, Counted):
            return self._take_counted(offset, record.value, judged.batch, judged.hash)
        self.verdict.ignored += 1
        batch = decode_batch(record.value)
        if not is_decision(batch):
            self.lost_openings.setdefault(batch.prev_hash, offset)
        return True

    def _take_counted(self, offset: int, value: bytes, batch: Batch, record_hash: str) -> bool:
        verdict = self.verdict
        verdict.counted += 1
        verdict.events += len(batch.events)
        if self.witnesses.jobs_topic is not None:  # outside the `try`: a broker that fails is no fault of the ledger
            self._find_all(self.witnesses.jobs_topic.compare(offset, batch))
        try:
            self._judge(offset, batch)
            self._advance(offset, value, batch, record_hash)
        except Exception as broken:  # an edited ledger or a defect of ours: the state took only part of the batch
            self._find(offset, "I2", f"the state can't be folded over it: {type(broken).__name__}: {broken}")
            self.redecided.fold_to(verdict.last_offset)
            return False
        self.before_last, verdict.last_offset = verdict.last_offset, offset
        if verdict.counted % CHECK_EVERY == 0:
            self._check_invariants(offset)
        for finding in self.anchors.compare(offset, record_hash, self.redecided.state):
            self._find(finding.offset, finding.invariant, finding.text, self.before_last)
        return True

    def _judge(self, offset: int, batch: Batch) -> None:
        self._find_all(self.second_book.take(offset, batch))
        self.results.take(offset, batch)
        if self.promised:
            self.promised.difference_update(getattr(event, "job", "") for event in batch.events)

    def _advance(self, offset: int, value: bytes, batch: Batch, record_hash: str) -> None:
        difference = self.redecided.advance(offset, value, batch, record_hash)
        if difference:
            rules = self.redecided.state.rules
            self._find(offset, "I7", f"the decision is not the one that rules {rules} lead to: {difference}")
            self.redecided.fold_to(offset)

    def _check_invariants(self, offset: int) -> None:
        for complaint in invariants.check(self.redecided.state):
            self._find(offset, "I3", f"the state after this record does not hold together: {complaint}")

    # -- findings -----------------------------------------------------------------------------------------------

    def _find(self, offset: int, invariant: str, text: str, trusted: int | None = None) -> None:
        """Adds a finding. The first finding decides up to where the ledger can be trusted: up to `trusted` if given,
        else up to the last record that was folded before."""
        if self.verdict.clean:
            self.verdict.trusted_offset = self.verdict.last_offset if trusted is None else trusted
        self.verdict.find(Finding(offset, invariant, text))

    def _find_all(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if self.verdict.clean:
                self.verdict.trusted_offset = self.verdict.last_offset
            self.verdict.find(finding)

    # -- the end ------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        verdict, witnesses, redecided = self.verdict, self.witnesses, self.redecided
        if self.whole:
            if verdict.clean:
                self._check_invariants(verdict.last_offset)
            self._check_openings()
            self._find_all(self.anchors.missing(verdict.last_offset))
            self._check_promises()
        if witnesses.store is not None:
            self._find_all(self.results.check(witnesses.store))
        if verdict.clean:
            verdict.trusted_offset = verdict.last_offset
        if witnesses.jobs_topic is not None:
            verdict.submissions = witnesses.jobs_topic.submissions
        verdict.results = self.results.verified
        verdict.anchors, verdict.anchored_offset = tuple(self.anchors.agreed), self.anchors.agreed_offset
        verdict.decided, verdict.undecided = redecided.decided, redecided.undecided
        verdict.unknown = redecided.unknown
        verdict.jobs, verdict.jobs_open = self.second_book.jobs, self.second_book.open_jobs
        state = redecided.state
        verdict.head_hash, verdict.head_seq, verdict.epoch = state.head_hash, state.seq, state.epoch
        verdict.state_hash = snapshot.state_hash(state)

    def _check_openings(self) -> None:
        """A newcomer always opens on a record that counts. A newcomer that opened on a record that does not count knew
        another history: the record that counts in that place was edited, and a copy of the original does not count."""
        if not self.lost_openings:
            return
        chain = Chain(self.pool)
        for record in self.source():
            judged = chain.offer(record.offset, record.value)
            if isinstance(judged, Counted):
                self.lost_openings.pop(judged.hash, None)
        self.lost_openings.pop(GENESIS, None)
        for offset in self.lost_openings.values():
            text = "a scheduler opened on a record that does not count: an earlier record that counts was edited"
            self._find(offset, "I14", text)

    def _check_promises(self) -> None:
        """I1: the ledger knows a job that was promised, or the job's submission still waits in `jobs`."""
        jobs_topic = self.witnesses.jobs_topic
        unread = set(jobs_topic.unread()) if jobs_topic is not None else set()
        for job in sorted(self.promised):
            if job not in unread:
                self._find_all([Finding(-1, "I1", "acknowledged, and the ledger does not know it", job)])
