"""What the auditor raises, and how a job's story is told when it does."""

from __future__ import annotations

from typing import Any


class Violation(Exception):
    """An invariant does not hold. `invariant` is its name in design section 9 (or the rule's, such as R4)."""

    def __init__(self, invariant: str, text: str, job: str = "") -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant, self.text, self.job = invariant, text, job


class Stories:
    """By job: one line for each event of the counted ledger that named the job."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}

    def note(self, offset: int, now_ms: int, event: dict[str, Any]) -> None:
        job = event.get("job")
        if job:
            self._lines.setdefault(job, []).append((offset, now_ms, event))

    def tell(self, job: str) -> str:
        lines = []
        for offset, now_ms, event in self._lines.get(job, []):
            rest = " ".join(f"{k}={v}" for k, v in event.items() if k not in ("type", "job"))
            lines.append(f"  offset {offset} at {now_ms}: {event['type']} {rest}")
        return f"the story of {job}:\n" + ("\n".join(lines) or "  no event of the ledger names it")
