"""Waits to be explained: pools in which a job waits for a known reason, and what must hold of every wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from audit.ledger.past import LedgerPast
from audit.ledger.reader import LedgerRecord
from audit.waits.causes import Cause, CauseGroup, Shares
from audit.waits.sentences import explained
from audit.waits.wait import Wait
from audit.waits.why import why
from contract import events as said
from contract import inputs
from contract.codec import encode
from tests.unit.audit.ledger import POOL, Ledger, job_of
from tests.unit.views.ledger import VERSION as WRITTEN_VERSION
from tests.unit.views.ledger import Ledger as WrittenLedger
from tests.unit.views.ledger import policy_of

BEFORE_THE_LINE = (CauseGroup.ON_THE_WAY, CauseGroup.DOWN)
PREPARING = (
    CauseGroup.NO_WORKER,
    CauseGroup.WORKERS_BUSY,
    CauseGroup.WORKER_LIMIT,
    CauseGroup.AT_WORKER,
    CauseGroup.FETCHING,
    CauseGroup.CHECKING,
    CauseGroup.DECODING,
    CauseGroup.UNPREPARED,
    CauseGroup.WORKER_BACKOFF,
)
IN_LINE = (
    CauseGroup.HELD,
    CauseGroup.WITHDRAWN,
    CauseGroup.NO_NODE,
    CauseGroup.BUSY,
    CauseGroup.OUTRANKED,
    CauseGroup.PASSED_OVER,
    CauseGroup.GANG_KEPT,
    CauseGroup.GATHERING,
    CauseGroup.LIMIT,
    CauseGroup.DRAINING,
    CauseGroup.SET_ASIDE,
    CauseGroup.DECIDING,
)
AT_NODE = (
    CauseGroup.STAGED_BEHIND,
    CauseGroup.VERSION,
    CauseGroup.ORDER,
    CauseGroup.PARKED,
    CauseGroup.RAN,
    CauseGroup.BACKOFF,
)


def wait_of(ledger: Ledger, number: int, now_ms: int = 0) -> Wait:
    wait = why(job_of(number), ledger.past, now_ms=now_ms)
    check(wait)
    return wait


def check(wait: Wait) -> None:
    """What must hold of every wait, whoever looks at it."""
    wait_ms = wait.until_ms - wait.submitted_ms
    assert wait_ms >= 0
    assert sum(share.ms for share in wait.shares.values()) == wait_ms
    for operator in (True, False):
        shown = explained(wait, operator=operator)
        assert sum(cause.ms for cause in shown.causes) == shown.wait_ms == wait_ms
        assert sum(cause.percent for cause in shown.causes) == (100 if wait_ms else 0)
        assert all(cause.ms > 0 and cause.words for cause in shown.causes)
        assert all(wait.submitted_ms <= c.from_ms < c.until_ms <= wait.until_ms for c in shown.causes)


def ms_of(wait: Wait) -> dict[CauseGroup, int]:
    sums: dict[CauseGroup, int] = {}
    for cause, share in wait.shares.items():
        if share.ms:
            sums[cause.group] = sums.get(cause.group, 0) + share.ms
    return sums


def started(ledger: Ledger, *numbers: int) -> None:
    ledger.report(*(inputs.Started(job_of(n), ledger.dispatch_of(n)) for n in numbers))


def succeeded(ledger: Ledger, *numbers: int) -> None:
    ledger.report(*(inputs.Succeeded(job_of(n), ledger.dispatch_of(n), "sha256:" + "e" * 64) for n in numbers))


def full(numbers: tuple[int, ...] = (1, 2, 3, 4)) -> Ledger:
    """A node with two slots that two jobs hold, and two more staged behind them: nothing more fits."""
    ledger = Ledger()
    ledger.set_up()
    for number in numbers:
        ledger.submit(number)
    ledger.decide()
    started(ledger, *numbers[:2])
    return ledger


def behind() -> Ledger:
    """The ledger of `full`, and job 5 behind all others, 10 ms after its submission."""
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=10)
    return ledger


def alone() -> Ledger:
    """Job 1 goes at once, 10 ms after its submission."""
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    return ledger


class Written:
    """A pool written event by event, with node n-1 of two slots in cluster east: also what the real core would not
    do."""

    def __init__(self, *, ranks: int = 1, limit: int = 4) -> None:
        self.ledger = WrittenLedger(POOL)
        self.ledger.open()
        self.ledger.adopt(policy_of(POOL, limit=limit))
        needs = inputs.Requirements(("cpu",), 0, 64, ranks)
        self.ledger.write(
            said.VersionRegistered("noop", WRITTEN_VERSION, needs, 60_000),
            said.AliasPointed("noop", "live", WRITTEN_VERSION, 1),
        )
        self.ledger.admit("n-1")

    def accept(self, number: int, tier: str = "free", tenant: str = "acme") -> said.JobAccepted:
        return msgspec.structs.replace(self.ledger.accepted(job_of(number), tenant, tier), submitted_ms=self._next_ms)

    @property
    def _next_ms(self) -> int:
        return self.ledger.now_ms + 10

    def dispatch(self, number: int, index: int = 0, node: str = "n-1", **fields: object) -> said.JobDispatched:
        return msgspec.structs.replace(self.ledger.dispatched(job_of(number), node, index=index), **fields)

    def write(self, *events: said.Event, after_ms: int = 10) -> None:
        self.ledger.write(*events, after_ms=after_ms)

    def start(self, *numbers: int) -> None:
        self.write(*(self.ledger.started(job_of(number)) for number in numbers))

    def succeed(self, *numbers: int) -> list[said.Event]:
        return [self.ledger.succeeded(job_of(number)) for number in numbers]

    def wait(self, number: int) -> Wait:
        records = [LedgerRecord(at, r.batch.now_ms, encode(r.batch)) for at, r in enumerate(self.ledger.records)]
        wait = why(job_of(number), LedgerPast(POOL, lambda first: iter(records[first:])))
        check(wait)
        return wait


def dropped(patch: pytest.MonkeyPatch, group: CauseGroup) -> None:
    """The mutant: causes of one group are forgotten."""
    add, split = Shares.add, Shares.split

    def add_others(self: Shares, cause: Cause, *rest: Any) -> None:
        if cause.group is not group:
            add(self, cause, *rest)

    def split_others(self: Shares, weights: dict[Cause, int], *rest: Any) -> None:
        others = {cause: held for cause, held in weights.items() if cause.group is not group}
        if others:
            split(self, others, *rest)

    patch.setattr(Shares, "add", add_others)
    patch.setattr(Shares, "split", split_others)


def missed_by(group: CauseGroup, tests: Iterable[Callable[[], None]]) -> list[Callable[[], None]]:
    """The tests that fail when causes of this group are forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        dropped(patch, group)
        return [test for test in tests if _fails(test)]


def _fails(test: Callable[[], None]) -> bool:
    try:
        test()
    except AssertionError:
        return True
    return False
