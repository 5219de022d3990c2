"""When a child that answers is not to be trusted any more: it failed one job after another."""

from __future__ import annotations

from gpu_worker.rules.outcome import ChildOutcome, Computed

JOBS_MAX = 2
"""How many different jobs a child may fail in a row. The scheduler sets a node aside when three jobs failed there
(design section 4, Cordon), so a child that went bad must be gone before it has failed a third."""

_OWN_FAULTS = ("bad_inputs", "store")
"""Failures that say nothing of the child: of the job itself, and of a full disk."""


class FailureStreak:
    """Of one child."""

    def __init__(self) -> None:
        self._jobs: set[str] = set()

    def note(self, job: str, outcome: ChildOutcome) -> bool:
        """The child answered an attempt of this job. Whether the child is to be replaced."""
        if isinstance(outcome, Computed):
            self._jobs.clear()
        elif outcome.kind not in _OWN_FAULTS:
            self._jobs.add(job)
        return len(self._jobs) >= JOBS_MAX
