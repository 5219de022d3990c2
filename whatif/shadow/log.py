"""What a shadow writes down, gathered into records of the topic `shadow`: a shadow writes to no other place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contract.policy import Policy, fingerprint
from contract.shadows import (
    ShadowAdvanced,
    ShadowBegan,
    ShadowDispatch,
    ShadowJob,
    ShadowRecord,
    ShadowStart,
    ShadowStopped,
)

ENTRIES_MAX = 500
"""Most entries of one record, about: some 150 KB."""


class ShadowLog:
    """The log of one run of a shadow."""

    def __init__(
        self, shadow: str, run: str, pool: str, write: Callable[[ShadowRecord], None], due: Callable[[], bool]
    ) -> None:
        """`due` returns True when a record should be written although little has happened."""
        self.shadow, self.run, self.pool = shadow, run, pool
        self._write, self._due = write, due
        self._taken: list[ShadowJob] = []
        self._dispatched: list[ShadowDispatch] = []
        self._started: list[ShadowStart] = []
        self._live_started: list[ShadowStart] = []
        self._number = 0
        self._live_ms, self._offset = 0, -1
        self._slos_ms: dict[str, int] = {}

    def began(self, from_ms: int, offset: int, behind_ms: int, policy: Policy, release: str) -> None:
        self._live_ms, self._offset = from_ms, offset
        self._write(
            ShadowBegan(
                self.shadow, self.run, self.pool, from_ms, offset, behind_ms, policy, fingerprint(policy), release
            )
        )

    def taken(self, job: ShadowJob) -> None:
        self._taken.append(job)

    def dispatched(self, dispatch: ShadowDispatch) -> None:
        self._dispatched.append(dispatch)

    def started(self, start: ShadowStart) -> None:
        self._started.append(start)

    def live_started(self, start: ShadowStart) -> None:
        self._live_started.append(start)

    def read(self, live_ms: int, offset: int, slos_ms: Mapping[str, int]) -> None:
        """The ledger was read up to this record."""
        self._live_ms, self._offset = live_ms, offset
        self._slos_ms = dict(slos_ms)

    def flush_if_full(self, now_ms: int, left_out: Mapping[str, int]) -> None:
        if len(self._taken) + len(self._dispatched) + len(self._started) + len(self._live_started) >= ENTRIES_MAX:
            self.flush(now_ms, left_out)

    def flush_if_due(self, now_ms: int, left_out: Mapping[str, int]) -> None:
        self.flush_if_full(now_ms, left_out)
        if self._due():
            self.flush(now_ms, left_out)

    def flush(self, now_ms: int, left_out: Mapping[str, int]) -> None:
        """Writes a record of everything gathered. `now_ms` is the shadow's clock."""
        self._write(
            ShadowAdvanced(
                self.shadow,
                self.run,
                self.pool,
                self._number,
                now_ms,
                self._live_ms,
                self._offset,
                tuple(self._taken),
                tuple(self._dispatched),
                tuple(self._started),
                tuple(self._live_started),
                dict(sorted(left_out.items())),
                self._slos_ms,
            )
        )
        self._number += 1
        for entries in (self._taken, self._dispatched, self._started, self._live_started):
            entries.clear()

    def stopped(self, reason: str) -> None:
        self._write(ShadowStopped(self.shadow, self.run, self.pool, self._number, reason))
