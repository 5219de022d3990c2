"""Ledgers of one node that runs what it is told, step by step: recorded work for simulations and shadows."""

from __future__ import annotations

from collections.abc import Callable

from contract import inputs
from contract.events import JobDispatched
from tests.unit.audit.ledger import START_MS, Ledger
from whatif.simulation.nodes import Costs

NOTHING = Costs()


def played(submissions: dict[int, list[tuple[int, str]]], runs_ms: Callable[[int], int], until_ms: int) -> Ledger:
    """A ledger of one node with two slots that runs what it is told, in steps of 100 ms. `submissions` are (number,
    tier) by ms since the start; `runs_ms` says how long a job runs."""
    ledger = Ledger()
    ledger.set_up()
    begin_ms = ledger.now_ms
    staged: list[tuple[str, str]] = []
    running: dict[str, tuple[str, int]] = {}
    while ledger.now_ms - begin_ms < until_ms:
        now_ms = ledger.now_ms + 100
        said: list[inputs.Report] = []
        for job, (dispatch, ends_ms) in list(running.items()):
            if ends_ms <= now_ms:
                del running[job]
                said.append(inputs.Succeeded(job, dispatch, "sha256:" + "e" * 64))
        while staged and len(running) < 2:
            job, dispatch = staged.pop(0)
            running[job] = (dispatch, now_ms + runs_ms(int(job[-32:], 16)))
            said.append(inputs.Started(job, dispatch))
        ledger.now_ms = now_ms
        for number, tier in submissions.get(now_ms - begin_ms, []):
            ledger.submit(number, tier=tier)
        if said:
            ledger.say(inputs.NodeReport("n1", "n1.a", tuple(said)))
        if now_ms % 5_000 == START_MS % 5_000:
            dispatches = tuple(dispatch for dispatch, _ in running.values())
            loaded = ledger.state.nodes["n1"].loaded
            waiting = tuple(dispatch for _, dispatch in staged)
            ledger.say(inputs.NodeHeartbeat("n1", "n1.a", dispatches, waiting, loaded=loaded, cached=loaded))
        ledger.now_ms -= 100
        events = ledger.decide(passed_ms=100)
        staged += [(event.job, event.dispatch) for event in events if isinstance(event, JobDispatched)]
    return ledger


def busy() -> Ledger:
    """Twelve jobs of two tiers on two slots: enough to queue, and for the order to matter."""
    submissions = {400 * place: [(place, "api" if place % 3 == 0 else "free")] for place in range(1, 13)}
    return played(submissions, lambda number: 3_000 + 170 * number, 60_000)


def order_of(ledger: Ledger) -> list[str]:
    return [
        event.job
        for offset in range(len(ledger.records))
        for event in ledger.batch(offset).events
        if isinstance(event, JobDispatched)
    ]
