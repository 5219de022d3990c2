"""What `verify` says of a ledger that a test made."""

from __future__ import annotations

from audit.verify.verdict import Verdict, render
from audit.verify.verification import Witnesses, verify
from tests.unit.audit.ledger import POOL, Ledger


def verified(ledger: Ledger, witnesses: Witnesses | None = None) -> Verdict:
    return verify(ledger.source, POOL, witnesses)


def only_finding(verdict: Verdict) -> tuple[int, str, str]:
    assert len(verdict.findings) == 1, render(verdict)
    finding = verdict.findings[0]
    return finding.offset, finding.invariant, finding.text
