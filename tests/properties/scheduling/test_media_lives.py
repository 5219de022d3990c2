"""Whatever is said to a pool in which media are prepared: its invariants hold, and every reader agrees.

`Pool` checks the invariants and folds a second state after every batch by itself.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.events import PreparationOrdered
from contract.inputs import (
    ClusterActivated,
    ClusterDrainRequested,
    EraseRequested,
    Failed,
    HoldRequested,
    NodeLeft,
    NodeReport,
    ReleaseRequested,
    Started,
    Stopped,
    Succeeded,
    WithdrawRequested,
)
from contract.policy import DISCIPLINES
from contract.preparation_reports import PreparationDone, PreparationRefused, PreparationStopped
from scheduling import snapshot
from tests.unit.scheduling.preparing import RULES_A, RULES_B, PreparingPool, events_of, preparing_policy
from tests.unit.scheduling.specification import MANIFEST, a_job, version_of

LIVES = settings(max_examples=int(os.environ.get("EXAMPLES", "15")), deadline=None)
WORKERS, NODES = ("w1", "w2"), ("n1", "n2")
WORDS = ("done", "refused", "outage", "unclaimed", "drained", "killed", "unheard")
ACTS = (
    *("submit",) * 4,
    *("answer",) * 5,
    *("run",) * 4,
    *("join", "leave", "beat", "tick", "cancel", "erase", "hold", "drain", "policy", "withdraw", "take over", "again"),
)
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 1_000_000)), min_size=5, max_size=60)


class MediaLife:
    """Turns pairs of an act and a number into what is said to the pool."""

    def __init__(self) -> None:
        self.pool = PreparingPool(preparing_policy(limit=3), workers=2, slots=2)
        self.jobs = self.sessions = self.versions = 0

    def step(self, act: str, number: int) -> None:
        getattr(self, "_" + act.replace(" ", "_"))(number)

    def _submit(self, number: int) -> None:
        self.jobs += 1
        more: dict[str, Any] = {"expires_ms": self.pool.now_ms + 20_000} if number % 5 == 0 else {}
        model = f"edit@{version_of('edit/v1')}" if number % 7 == 0 else "edit"
        tier, tenant = ("free", "api", "light")[number % 3], ("acme", "zeta")[number % 2]
        self.pool.submit(self.jobs, tier, number % 4, tenant=tenant, model=model, **more)

    def _held(self, number: int, prepares: bool) -> Any:
        held = [a for load in self.pool.state.node_attempts.values() for a in load.values() if a.prepares == prepares]
        return sorted(held, key=lambda attempt: attempt.job)[number % len(held)] if held else None

    def _answer(self, number: int) -> None:
        held = self._held(number, prepares=True)
        if held is None:
            return
        word = WORDS[number % len(WORDS)]
        report: PreparationDone | PreparationRefused | PreparationStopped
        if word in ("done", "unheard"):
            report = PreparationDone(held.job, held.dispatch if word == "done" else "1.1.0", MANIFEST, number)
        elif word == "refused":
            report = PreparationRefused(held.job, held.dispatch, "damaged")
        else:
            report = PreparationStopped(held.job, held.dispatch, word)
        self.pool.tell(NodeReport(held.node, held.session, (report, report)), after_ms=number % 3_000)

    def _run(self, number: int) -> None:
        held = self._held(number, prepares=False)
        if held is None:
            return
        job, dispatch = held.job, held.dispatch
        ends = (
            Succeeded(job, dispatch, MANIFEST),
            Failed(job, dispatch, "inputs_missing", ""),
            Failed(job, dispatch, "model_error", ""),
            Stopped(job, dispatch, "recalled"),
        )
        reports = (Started(job, dispatch), ends[number % 4]) if number % 3 else (ends[3],)
        self.pool.tell(NodeReport(held.node, held.session, reports), after_ms=number % 2_000)

    def _join(self, number: int) -> None:
        self.sessions += 1
        name = (*WORKERS, *NODES)[number % 4]
        if name in WORKERS:
            self.pool.join_worker(name, 1 + number % 2, f"x{self.sessions}")
        else:
            self.pool.join(name, "east", 1, f"x{self.sessions}")

    def _leave(self, number: int) -> None:
        nodes = sorted(self.pool.state.nodes)
        if nodes:
            node = self.pool.state.nodes[nodes[number % len(nodes)]]
            self.pool.tell(NodeLeft(node.node, node.session))

    def _beat(self, number: int) -> None:
        for node in sorted(self.pool.state.nodes.values(), key=lambda node: node.node):
            holding = "store" if number % 9 == 0 else ""
            listed: dict[str, Any] = {"staged": ()} if number % 4 == 0 else {}
            self.pool.beat(node.node, node.session, after_ms=number % 9_000, holding=holding, **listed)

    def _tick(self, number: int) -> None:
        self.pool.tick(number % 40_000)

    def _cancel(self, number: int) -> None:
        self.pool.cancel(a_job(1 + number % max(1, self.jobs)))

    def _erase(self, number: int) -> None:
        self.pool.tell(EraseRequested(a_job(1 + number % max(1, self.jobs))))

    def _hold(self, number: int) -> None:
        self.pool.tell(HoldRequested() if number % 2 else ReleaseRequested())

    def _drain(self, number: int) -> None:
        if number % 2:
            self.pool.tell(ClusterDrainRequested("cpus", self.pool.now_ms + number % 3_000))
        else:
            self.pool.tell(ClusterActivated("cpus"))

    def _policy(self, number: int) -> None:
        policy = preparing_policy(1 + number % 4, discipline=DISCIPLINES[number % len(DISCIPLINES)], promise_max=1)
        if number % 5 == 0:
            del policy.clusters["cpus"]
        self.pool.adopt(policy)

    def _withdraw(self, number: int) -> None:
        self.versions += 1
        before = self.pool.state.aliases["edit", "live"].version
        if number % 3:
            name = f"w{self.versions}"
            self.pool.publish_edit(name, 1 + self.versions, (RULES_A, RULES_B, "")[number % 3])
        self.pool.tell(WithdrawRequested("edit", before, number % 2 == 0))

    def _take_over(self, number: int) -> None:
        self.pool.take_over()

    def _again(self, number: int) -> None:
        self.pool.state = snapshot.decode(snapshot.encode(self.pool.state))


@LIVES
@given(STEPS)
def test_invariants_hold_and_readers_agree_where_media_are_prepared(steps: list[tuple[str, int]]) -> None:
    life = MediaLife()
    for act, number in steps:
        life.step(act, number)
    ids = [event.preparation for event in events_of(life.pool, PreparationOrdered)]
    assert len(set(ids)) == len(ids)
