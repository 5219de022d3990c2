"""What became of one outage, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

OUTAGES = ("postgres", "read-only", "store", "kafka")
GROWTH_MIB_MAX = 12.0
"""What a process may have more at the end of an outage than when it was warm: the 8 MiB of records that a processor has
fetched and cannot hand on (HANDED_OVER_BYTES), and what one fetch brings. Heartbeats alone fill them in 20 minutes.
Measured: 0.8 MiB in a minute; 10.8 MiB in 30 minutes, by the projector while Postgres stood still."""
JOB_KIB_MAX = 4.0
"""What the scheduler may have more for each job, which it remembers: 1.7 KiB measured (0.8 MiB for 470 jobs)."""
CURRENT_WITHIN_S = 10.0
SILENCE_S_MAX = 6.0
"""The longest time without a batch while the scheduler can write: a heartbeat comes every 0.5 s, and a machine with
other work may delay one."""
ANSWERED_WITHIN_S = 30.0
"""An answer of the API, whatever is away: a call waits 12 s for a thread (decision 0023), then for a server."""
ANSWERS = frozenset({200, 202, 503})


class Rss(NamedTuple):
    """Of one process, in MiB."""

    start: float
    peak: float
    end: float
    growth: float
    """From when it was warm to the end of the outage."""


class Witness(NamedTuple):
    """A job that began before the outage."""

    state: str
    attempts: int
    in_time: bool
    """It ended when it had to: in the middle of the outage if its result could be written, else right after it."""


class OutageFindings(NamedTuple):
    server: str
    lasted_s: float
    answers: Mapping[int, int]
    """How many answers of the API had which status. 0: none came."""
    slowest_answer_s: float
    silence_s: float
    """The longest time without a batch of the ledger during the outage."""
    acknowledged: int
    unfound: int
    """Jobs that got a 202 and were not known to the API right after it."""
    states: Mapping[str, int]
    """How the acknowledged jobs ended."""
    failures: int
    """Attempts that failed or were lost, by the ledger."""
    inside: Witness
    """It computes until the middle of the outage and leaves a file."""
    across: Witness
    """It computes until after the outage."""
    holding: str
    """What the node said in the middle of the outage: why it takes nothing new."""
    ended_parts: Mapping[str, int]
    """Parts that ended and were started again, and how often."""
    memory: Mapping[str, Rss]
    current_after_s: float
    verify: int
    """Findings of `audit verify`."""

    def faults(self) -> list[str]:
        """What does not hold."""
        may_write = self.server != "kafka"
        most = {"scheduler": GROWTH_MIB_MAX + self.acknowledged * JOB_KIB_MAX / 1024}
        grown = {part: rss for part, rss in self.memory.items() if rss.growth > most.get(part, GROWTH_MIB_MAX)}
        holding = "store" if self.server == "store" else ""
        done = ("succeeded", 1, True)
        checks = [
            (set(self.answers) <= ANSWERS, "answers of 200, 202 and 503 only", dict(self.answers)),
            (self.slowest_answer_s <= ANSWERED_WITHIN_S, "each answer in time", f"{self.slowest_answer_s:.1f} s"),
            (not may_write or self.silence_s <= SILENCE_S_MAX, "work to go on", f"{self.silence_s:.1f} s of silence"),
            (self.unfound == 0, "each 202 to be found", f"{self.unfound} not found"),
            (set(self.states) == {"succeeded"}, "every job to succeed", dict(self.states)),
            (self.failures == 0, "no attempt to fail or be lost", self.failures),
            (self.inside == done, "what ends in the middle of it to end as if nothing was", self.inside),
            (self.across == done, "what runs through it to end as if nothing was", self.across),
            (self.holding == holding, f"the node to say {holding!r} of why it takes nothing new", repr(self.holding)),
            (not self.ended_parts, "every process to live on", dict(self.ended_parts)),
            (not grown, "memory to stay flat", grown),
            (self.current_after_s <= CURRENT_WITHIN_S, "all current soon", f"{self.current_after_s:.1f} s"),
            (self.verify == 0, "a ledger without findings", self.verify),
        ]
        return [f"expected {wanted}, found {found}" for holds, wanted, found in checks if not holds]

    def require_clean(self) -> None:
        """AssertionError says all that does not hold."""
        faults = self.faults()
        assert not faults, f"{self.server}: " + "; ".join(faults)

    def line(self) -> str:
        """For a note."""
        answers = " ".join(f"{status}:{count}" for status, count in sorted(self.answers.items()))
        memory = ", ".join(f"{part} {rss.start:.0f}/{rss.peak:.0f}/{rss.end:.0f}" for part, rss in self.memory.items())
        verdict = f"{len(self.faults())} FAULTS" if self.faults() else "clean"
        return (
            f"{self.server} {self.lasted_s:g} s: {verdict}; {self.acknowledged} jobs acknowledged, {self.failures}"
            f" attempts failed, answers {answers}, slowest {self.slowest_answer_s:.1f} s, silence"
            f" {self.silence_s:.1f} s, current after {self.current_after_s:.1f} s; RSS MiB start/peak/end: {memory}"
        )
