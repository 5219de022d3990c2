"""Whether a ledger is what it claims to be, and every decision in it the one that its rules lead to.

Theory of operation. The records are read once, in the log's order. `contract.chain` says which count; each that does
is judged by a second book (`conduct`), held against `jobs` when that is at hand (`inbox`), and decided again from its
recorded inputs and times by the production code (`again`), which must give the same bytes. Rules that this release
does not have are folded, and checked by hash and by the second book. What others remember of the ledger (snapshots,
views) is compared at the record they name: a tail that was cut off shows there. The first damage of the chain ends the
reading, because nothing after it can be believed; the first decision that differs ends the deciding, not the checks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from audit.ledger.diagnosis import diagnose
from audit.ledger.reader import LedgerRecord, LedgerSource
from audit.verify.jobs_topic import JobsTopic
from audit.verify.redecide import decide_again, has_rules, is_decision
from audit.verify.results import AcceptedResults, ResultStore
from audit.verify.second_book import SecondBook
from audit.verify.verdict import Anchor, Finding, UnknownRules, Verdict
from contract.batch import GENESIS, Batch
from contract.chain import Chain, Counted, Damaged
from contract.codec import decode_batch
from scheduling import invariants, snapshot
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state

CHECK_EVERY = 5_000
"""Records that count between two runs of the core's own invariants, which look at the whole state; and at the end."""


@dataclass
class Witnesses:
    """What to hold the ledger against. Everything is optional; the verdict says what was at hand."""

    anchors: Sequence[Anchor] = ()
    inbox: JobsTopic | None = None
    acknowledged: Iterable[str] = ()
    """Jobs that somebody was promised (202): each must be known."""
    store: ResultStore | None = None
    """The object store: accepted results are looked up there."""
    clock: Callable[[], float] = field(default=time.perf_counter)


def verify(source: LedgerSource, pool: str, evidence: Witnesses | None = None) -> Verdict:
    """Verifies a pool's ledger from its first record on."""
    return _Verification(source, pool, evidence or Witnesses()).run()


class _Verification:
    def __init__(self, source: LedgerSource, pool: str, evidence: Witnesses) -> None:
        self.source, self.pool, self.evidence = source, pool, evidence
        self.verdict = Verdict(pool=pool)
        self.state = initial_state(pool)
        self.chain = Chain(pool)
        self.conduct = SecondBook()
        self.results = AcceptedResults()
        self.promised = set(evidence.acknowledged)
        """Jobs of `acknowledged` that the ledger has not named so far."""
        self.deciding = True
        self.unknown: dict[tuple[int, str], int] = {}
        self.anchors: dict[int, list[Anchor]] = {}
        for anchor in evidence.anchors:
            self.anchors.setdefault(anchor.offset, []).append(anchor)
        self.agreed: list[str] = []
        self.before_last = -1
        """Offset of the record that counted before the last one."""
        self.lost_openings: dict[str, int] = {}
        """What an Opened that does not count follows (hash), and its offset."""
        self.whole = False
        """The ledger was read to its end: no damage stopped the reading."""

    def run(self) -> Verdict:
        started = self.evidence.clock()
        self._read()
        verdict = self.verdict
        verdict.seconds = self.evidence.clock() - started
        self._finish()
        return verdict

    # -- records ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        last = -1
        for record in self.source():
            self.verdict.records += 1
            if not self._one(record, last):
                return
            last = record.offset
        self.whole = True

    def _one(self, record: LedgerRecord, last: int) -> bool:
        """False when nothing after this record can be believed."""
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
        if not isinstance(judged, Counted):
            self.verdict.ignored += 1
            batch = decode_batch(record.value)
            if not is_decision(batch):
                self.lost_openings.setdefault(batch.prev_hash, offset)
            return True
        return self._counted(offset, record.value, judged.batch, judged.hash)

    def _find(self, offset: int, invariant: str, text: str, trusted: int | None = None) -> None:
        """The first finding decides up to where the ledger can be trusted: what was folded before it."""
        if self.verdict.clean:
            self.verdict.trusted_offset = self.verdict.last_offset if trusted is None else trusted
        self.verdict.find(Finding(offset, invariant, text))

    def _find_all(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if self.verdict.clean:
                self.verdict.trusted_offset = self.verdict.last_offset
            self.verdict.find(finding)

    def _counted(self, offset: int, value: bytes, batch: Batch, record_hash: str) -> bool:
        verdict = self.verdict
        verdict.counted += 1
        verdict.events += len(batch.events)
        if self.evidence.inbox is not None:  # it reads `jobs`: a broker that fails is no fault of the ledger's
            self._find_all(self.evidence.inbox.batch(offset, batch))
        try:
            self._judge(offset, batch)
            self._advance(offset, value, batch, record_hash)
        except Exception as broken:  # an edited ledger, or a defect: a state that did not take all of it is no state
            self._find(offset, "I2", f"the state can't be folded over it: {type(broken).__name__}: {broken}")
            self.state = self._folded_to(verdict.last_offset)
            return False
        self.before_last, verdict.last_offset = verdict.last_offset, offset
        if verdict.counted % CHECK_EVERY == 0:
            self._invariants(offset)
        self._compare_anchors(offset, record_hash)
        return True

    def _judge(self, offset: int, batch: Batch) -> None:
        self._find_all(self.conduct.batch(offset, batch))
        self.results.batch(offset, batch)
        if self.promised:
            self.promised.difference_update(getattr(event, "job", "") for event in batch.events)

    # -- the state ----------------------------------------------------------------------------------------------

    def _advance(self, offset: int, value: bytes, batch: Batch, record_hash: str) -> None:
        state = self.state
        if not is_decision(batch) or not has_rules(state) or not self.deciding:
            if is_decision(batch) and not has_rules(state):
                self.unknown[state.rules, state.release] = self.unknown.get((state.rules, state.release), 0) + 1
            elif is_decision(batch):
                self.verdict.undecided += 1
            fold(state, batch, record_hash, offset)
            return
        try:
            difference = decide_again(state, batch, value, record_hash, offset)
        except Exception as broken:  # whatever it is, it is said with its place
            difference = f"deciding it again is impossible: {type(broken).__name__}: {broken}"
        if not difference:
            self.verdict.decided += 1
            return
        self.deciding = False
        self.verdict.undecided += 1
        text = f"the decision is not the one that rules {state.rules} lead to: {difference}"
        self._find(offset, "I7", text)
        self.state = self._folded_to(offset)

    def _folded_to(self, offset: int) -> State:
        """The state after this record by what is recorded: what came after it has spoilt ours."""
        state, chain = initial_state(self.pool), Chain(self.pool)
        for record in self.source():
            if record.offset > offset:
                break
            judged = chain.offer(record.offset, record.value)
            if isinstance(judged, Counted):
                fold(state, judged.batch, judged.hash, record.offset)
        return state

    def _invariants(self, offset: int) -> None:
        for complaint in invariants.check(self.state):
            self._find(offset, "I3", f"the state after this record does not hold together: {complaint}")

    def _compare_anchors(self, offset: int, record_hash: str) -> None:
        for anchor in self.anchors.pop(offset, ()):
            if anchor.hash != record_hash:
                text = f"{anchor.source} remembers hash {anchor.hash[:16]} here, the ledger has {record_hash[:16]}"
                self._find(offset, "I14", text + ": the ledger was rewritten, or that copy was", self.before_last)
                continue
            if anchor.snapshot is not None and not self._same_state(anchor.snapshot):
                text = f"{anchor.source} holds another state than the fold of the ledger up to this record"
                self._find(offset, "I7", text, self.before_last)
                continue
            self.agreed.append(anchor.source)
            self.verdict.anchored_offset = max(self.verdict.anchored_offset, offset)

    def _same_state(self, data: bytes) -> bool:
        try:
            return snapshot.state_hash(snapshot.decode(data)) == snapshot.state_hash(self.state)
        except ValueError:
            return False

    # -- the end ------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        verdict, evidence = self.verdict, self.evidence
        if self.whole:
            if verdict.clean:
                self._invariants(verdict.last_offset)
            self._check_openings()
            self._missing_anchors()
            self._promises()
        if evidence.store is not None:
            self._find_all(self.results.check(evidence.store))
        if verdict.clean:
            verdict.trusted_offset = verdict.last_offset
        if evidence.inbox is not None:
            verdict.submissions = evidence.inbox.submissions
        verdict.results = self.results.verified
        verdict.anchors = tuple(self.agreed)
        verdict.unknown = tuple(UnknownRules(rules, release, n) for (rules, release), n in sorted(self.unknown.items()))
        verdict.jobs, verdict.jobs_open = self.conduct.jobs, self.conduct.open_jobs
        state = self.state
        verdict.head_hash, verdict.head_seq, verdict.epoch = state.head_hash, state.seq, state.epoch
        verdict.state_hash = snapshot.state_hash(state)

    def _check_openings(self) -> None:
        """A newcomer opens on a record that counts, always. One that opened on a record that does not knew another
        history than this: the record that counts in that place was edited, and a copy of the original stands in."""
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

    def _missing_anchors(self) -> None:
        """What someone remembers and the ledger does not have: its tail was cut, or that record does not count."""
        for offset, anchors in sorted(self.anchors.items()):
            for anchor in anchors:
                cut = offset > self.verdict.last_offset
                text = f"{anchor.source} remembers a record at offset {offset} with hash {anchor.hash[:16]};"
                text += (
                    f" the ledger ends at offset {self.verdict.last_offset}: its tail was cut"
                    if cut
                    else " no record that counts lies there"
                )
                self._find(-1 if cut else offset, "I14", text)

    def _promises(self) -> None:
        """I1: a job that was promised is known, or its submission still waits in `jobs`."""
        unread = set(self.evidence.inbox.unread()) if self.evidence.inbox is not None else set()
        for job in sorted(self.promised):
            if job not in unread:
                self._find_all([Finding(-1, "I1", "acknowledged, and the ledger does not know it", job)])
