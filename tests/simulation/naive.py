"""A second, naive implementation of who goes next: at every pick, sort everything (I11).

Written from design section 4 and the words of the policy, with fractions instead of common multiples and lists that are
made anew at each pick. It reads plain records and shares no code with `scheduling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.simulation.naive_promise import NaivePromise


@dataclass(frozen=True, slots=True)
class Row:
    """A job that waits."""

    job: str
    tenant: str
    tier: str
    kind: str
    """The job's requirement class, in any words."""
    version: str
    submitted_ms: int
    expected_ms: int
    attempts: int
    avoids: bool = False
    """The job failed on nodes, so it goes in its turn only."""


class Naive:
    def __init__(self) -> None:
        self.policy: dict[str, Any] = {}
        self.slos: dict[str, int] = {}
        self._starts: dict[str, dict[str, Fraction]] = {}
        """By tier: the earliest virtual time at which each tenant's next pick starts."""
        self._clocks: dict[str, Fraction] = {}
        self._tier_starts: dict[str, Fraction] = {}
        self._tier_clock = Fraction(0)
        self.promise: NaivePromise | None = None
        self.reason = ""
        """The reason of the last turn, where the discipline has several reasons."""

    # -- what changes it --------------------------------------------------------------------------------------

    def adopted(self, policy: dict[str, Any], queued: Iterable[Row]) -> None:
        """A policy is adopted. `queued` are all jobs without an open attempt."""
        is_other = any(policy[name] != self.policy.get(name) for name in ("discipline", "tiers"))
        self.policy = policy
        self.slos |= {name: tier["slo_ms"] for name, tier in policy["tiers"].items()}
        if is_other:
            self._tier_starts, self._tier_clock = {}, Fraction(0)
            self.promise = None
            if policy["discipline"] == "promise":
                slos = [self.slos[tier] for tier in self._tiers()]
                self.promise = NaivePromise(slos, policy["promise_max"])
                for row in queued:
                    self.entered(row, row.attempts == 0)
        elif self.promise is not None:
            self.promise.cap = policy["promise_max"]

    def _tiers(self) -> list[str]:
        return sorted(self.slos, key=lambda tier: (self.slos[tier], tier))

    def entered(self, row: Row, first: bool) -> None:
        """The job was accepted, or is requeued."""
        if self.promise is not None:
            self.promise.entered(self._tiers().index(row.tier), row.kind, row.submitted_ms, first)

    def ended(self, row: Row, waiting: Iterable[Row]) -> None:
        """A queued job ended; `waiting` are those that still wait."""
        if self.promise is not None:
            kinds = {other.kind for other in waiting}
            self.promise.ended(self._tiers().index(row.tier), row.kind, row.submitted_ms, kinds)

    def dispatched(
        self, row: Row, passed: Row | None, waiting: Sequence[Row], now_ms: int, fits: Callable[[str], bool]
    ) -> None:
        """A job was dispatched. `passed` was passed over; `waiting` are all that waited, this job included; `fits` says
        whether the job's node fits a class."""
        if self.promise is not None:
            before, after = {other.kind for other in waiting}, {other.kind for other in waiting if other != row}
            if passed is not None and self.reason == "due":
                self.promise.put_off(self._tiers().index(passed.tier), passed.submitted_ms, now_ms)
            self.promise.dispatched(row.kind, self.reason, now_ms, fits, before, after)
        if row.attempts:
            return
        alike = sum(1 for other in waiting if (other.tier, other.tenant) == (row.tier, row.tenant))
        picks = 1 + self.policy["tenant_burst_penalty"] * (alike > self.policy["tenant_burst"])
        start = self._start(row)
        self._clocks[row.tier] = start
        weight = self.policy["tenant_weights"].get(row.tenant, 1)
        cost = max(1, picks * 720_720 // weight)  # whole numbers, as the ledger's decisions are
        self._starts.setdefault(row.tier, {})[row.tenant] = start + cost
        if self.policy["discipline"] == "weighted_fair":
            start = self._tier_start(row.tier)
            self._tier_clock = start
            tier = self.policy["tiers"].get(row.tier, {})
            weights = [entry["weight"] for entry in self.policy["tiers"].values() if entry["weight"]]
            cost_of = Fraction(1, tier.get("weight") or min(weights)) if weights else Fraction(self.slos[row.tier])
            self._tier_starts[row.tier] = start + cost_of

    def _start(self, row: Row) -> Fraction:
        clock = self._clocks.get(row.tier, Fraction(0))
        return max(clock, self._starts.get(row.tier, {}).get(row.tenant, Fraction(0)))

    def _tier_start(self, tier: str) -> Fraction:
        return max(self._tier_clock, self._tier_starts.get(tier, Fraction(0)))

    # -- a pick -----------------------------------------------------------------------------------------------

    def turn(self, able: Sequence[Row], now_ms: int) -> Row | None:
        """Whose turn it is among the jobs that some slot could take now."""
        lines: dict[tuple[str, str], list[Row]] = {}
        for row in able:
            lines.setdefault((row.tier, row.kind), []).append(row)
        if not lines:
            return None
        if self.promise is not None:
            tiers = self._tiers()
            rows = [(tiers.index(row.tier), row.kind, row.submitted_ms, row.job) for row in able]
            choice = self.promise.choose(rows, now_ms)
            self.reason = choice.reason
            tier = tiers[choice.tier]
            line = [row for row in lines[tier, choice.kind] if self._is_late(row, now_ms) == choice.is_late]
        else:
            line = min(lines.values(), key=lambda rows: self._rank(min(rows, key=self._place), now_ms))
        return min(line, key=lambda row: (self._start(row), self._place(row)))

    def goes_of_line(self, turn: Row, able: Sequence[Row], now_ms: int, loaded: set[str]) -> Row:
        """Who goes when it is `turn`'s turn: another job of the same line may, while nobody that is passed over has
        waited too long."""
        if turn.avoids or not self._may_be_passed(turn, now_ms):
            return turn
        for row in self._lines_of(turn.kind, able, now_ms)[self._line_of(turn, now_ms)]:
            if row.version in loaded and not row.avoids:
                return row
            if not self._may_be_passed(row, now_ms):
                break
        return turn

    def goes_of_class(self, turn: Row, able: Sequence[Row], now_ms: int, loaded: set[str]) -> Row:
        """Who goes just after a switch: of each line the first job whose version is loaded may."""
        if turn.avoids:
            return turn
        lines = self._lines_of(turn.kind, able, now_ms)
        firsts = {
            name: [row for row in line if row.version in loaded and not row.avoids][:1] for name, line in lines.items()
        }
        offers = {name: rows[0] for name, rows in firsts.items() if rows}
        if not offers:
            return turn
        if self.promise is None:
            return min(offers.values(), key=lambda row: self._rank(row, now_ms))
        tiers = self._tiers()
        rows = [(tiers.index(row.tier), row.kind, row.submitted_ms, row.job) for row in able]
        names = {(tiers.index(tier), turn.kind, is_late) for tier, is_late in offers}
        choice = self.promise.choose(rows, now_ms, names)
        return offers[tiers[choice.tier], choice.is_late]

    def _lines_of(self, kind: str, able: Sequence[Row], now_ms: int) -> dict[tuple[str, bool], list[Row]]:
        """Of each line of the class, the first jobs, as many as look-ahead looks at."""
        lines: dict[tuple[str, bool], list[Row]] = {}
        for row in sorted((row for row in able if row.kind == kind), key=self._place):
            lines.setdefault(self._line_of(row, now_ms), []).append(row)
        return {name: line[: self.policy["look_ahead_jobs"]] for name, line in lines.items()}

    def _line_of(self, row: Row, now_ms: int) -> tuple[str, bool]:
        return row.tier, self.promise is not None and self._is_late(row, now_ms)

    def _may_be_passed(self, row: Row, now_ms: int) -> bool:
        waited = Fraction(now_ms - row.submitted_ms, self.slos[row.tier])
        return waited <= Fraction(self.policy["look_ahead_percent"], 100)

    def _is_late(self, row: Row, now_ms: int) -> bool:
        return now_ms - row.submitted_ms > self.slos[row.tier]

    def _place(self, row: Row) -> tuple[Any, ...]:
        """The job's place in its line, as a key to sort by."""
        if self.policy["discipline"] == "shortest_first":
            return row.expected_ms == 0, row.expected_ms, row.submitted_ms, row.job
        return row.submitted_ms, row.job

    def _rank(self, row: Row, now_ms: int) -> tuple[Any, ...]:
        slo_ms = self.slos[row.tier]
        tier = slo_ms, row.tier
        match self.policy["discipline"]:
            case "fifo" | "shortest_first":
                return self._place(row)
            case "strict":
                return *tier, row.submitted_ms, row.job
            case "edf":
                return row.submitted_ms + slo_ms, row.job
            case "weighted_fair":
                return self._tier_start(row.tier), *tier, row.submitted_ms, row.job
            case _:
                return -Fraction(now_ms - row.submitted_ms, slo_ms), row.job
