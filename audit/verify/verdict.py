"""What a verification says: a struct for programs and sentences for people."""

from __future__ import annotations

import msgspec

from audit.verify.releases import release_of

FINDINGS_MAX = 50
"""Findings that a verdict lists; it counts the others."""


class Finding(msgspec.Struct, frozen=True):
    """Something in the ledger that is not as it must be."""

    offset: int
    """Offset of the ledger record where the fault shows; -1 when the fault is about no single record."""
    invariant: str
    """The invariant's name in design section 9."""
    text: str
    """What was expected, what was found, and what it means."""
    job: str = ""


class Anchor(msgspec.Struct, frozen=True):
    """A record that someone else remembers of the ledger: a snapshot or the views. Read the anchor before the
    ledger."""

    source: str
    """Who remembers it, for people: `snapshot snapshots/main/…`, `the views`."""
    offset: int
    hash: str
    snapshot: bytes | None = None
    """The snapshot's bytes. Its state must be that of the ledger folded up to `offset`."""


class UnknownRules(msgspec.Struct, frozen=True):
    """Batches of rules that this release does not have: they are checked by hash and invariants only."""

    rules: int
    release: str
    """The release that wrote the batches, by its own word."""
    batches: int


class Verdict(msgspec.Struct, kw_only=True):
    """What a verification found."""

    pool: str
    records: int = 0
    """Records read."""
    counted: int = 0
    """Records that count."""
    ignored: int = 0
    """Records that do not count: schedulers wrote them that had lost the pool."""
    events: int = 0
    decided: int = 0
    """Batches decided again from their inputs and times, equal byte for byte."""
    unknown: tuple[UnknownRules, ...] = ()
    undecided: int = 0
    """The batch whose decision differs first, and the batches after it: they are folded and checked, not decided
    again."""
    jobs: int = 0
    """Jobs that the ledger accepted or refused. A job whose id came again long after its end counts again."""
    jobs_open: int = 0
    """Jobs that have not ended."""
    results: int = 0
    """Results whose manifest in the object store was found and has the accepted digest."""
    submissions: int = 0
    """Submissions still in `jobs` that were found in the ledger."""
    anchors: tuple[str, ...] = ()
    """Sources of the anchors that agree with the ledger."""
    anchored_offset: int = -1
    """An anchor outside the ledger vouches for every byte up to this record; -1: none does."""
    last_offset: int = -1
    """Offset of the last record that counts and was folded."""
    head_hash: str = ""
    head_seq: int = -1
    epoch: int = 0
    state_hash: str = ""
    trusted_offset: int = -1
    """The chain holds up to this record. If there is damage, nothing after this record may be believed."""
    seconds: float = 0.0
    findings: list[Finding] = msgspec.field(default_factory=list)
    findings_more: int = 0
    """Findings beyond those listed."""

    @property
    def clean(self) -> bool:
        return not self.findings

    @property
    def decisions_per_s(self) -> float:
        """Batches verified per second."""
        return self.counted / self.seconds if self.seconds else 0.0

    def find(self, finding: Finding) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)
        else:
            self.findings_more += 1


def render(verdict: Verdict) -> str:
    """The verdict in sentences."""
    if not verdict.records and verdict.clean:
        return f"ledger of pool {verdict.pool}: empty, no scheduler has opened the pool yet"
    lines = [
        f"ledger of pool {verdict.pool}: {'clean' if verdict.clean else 'NOT clean'}",
        f"  {verdict.counted} records count, {verdict.ignored} of schedulers that had lost the pool do not"
        f" ({verdict.events} events, {verdict.jobs} jobs, {verdict.jobs_open} of them not ended)",
        f"  {verdict.decided} batches decided again, equal byte for byte",
    ]
    for part in verdict.unknown:
        lines.append(
            f"  {part.batches} batches of rules {part.rules} were checked by hash and invariants only: release"
            f" {release_of(part.rules, part.release)} can decide them again"
        )
    if verdict.undecided:
        lines.append(f"  {verdict.undecided} batches, from the first that differs on, were not decided again")
    if verdict.submissions:
        lines.append(
            f"  {verdict.submissions} submissions in `jobs` were all found"
            if verdict.clean
            else f"  {verdict.submissions} submissions in `jobs` were found"
        )
    if verdict.results:
        lines.append(f"  {verdict.results} results have the accepted manifest in the object store")
    if verdict.anchors:
        lines.append(f"  {', '.join(verdict.anchors)}: agree with it up to offset {verdict.anchored_offset}")
    else:
        lines.append("  nothing outside the ledger was at hand to show a cut tail (no snapshot, no views)")
    if verdict.counted:
        lines.append(
            f"  head: offset {verdict.last_offset}, seq {verdict.head_seq}, epoch {verdict.epoch},"
            f" hash {verdict.head_hash[:16]}, state {verdict.state_hash[:23]}"
        )
    lines += [_said(finding) for finding in verdict.findings]
    if verdict.findings_more:
        lines.append(f"  … and {verdict.findings_more} more")
    if not verdict.clean:
        lines.append(_trust(verdict))
    lines.append(f"  {verdict.decisions_per_s:,.0f} batches/s ({verdict.seconds:.2f} s)")
    return "\n".join(lines)


def _said(finding: Finding) -> str:
    where = f"offset {finding.offset}" if finding.offset >= 0 else "the ledger"
    about = f" (job {finding.job})" if finding.job else ""
    return f"  {finding.invariant} at {where}{about}: {finding.text}"


def _trust(verdict: Verdict) -> str:
    if verdict.trusted_offset < 0:
        return "  no record of it can be trusted"
    vouched = (
        f", and an outside witness vouches up to {verdict.anchored_offset}" if verdict.anchored_offset >= 0 else ""
    )
    return f"  still to be trusted: records up to offset {verdict.trusted_offset}, whose hashes chain{vouched}"
