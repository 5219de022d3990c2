"""Gangs and small jobs do not starve each other, whatever comes without end.

Time goes in steps. A node runs what it holds in the order of dispatch, each attempt for exactly as long as its version
always runs.
"""

from __future__ import annotations

import msgspec
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from contract.events import Event, GangReserved, JobDispatched
from contract.inputs import NodeReport, Report, Requirements, Started, Submission, Succeeded
from contract.names import dispatch_order
from contract.policy import Cluster
from scheduling.state.gang_members import ranks_on
from tests.unit.scheduling.specification import CPU, MANIFEST, POLICY, POOL, Pool, a_job, only, submission, version_of

SOME = settings(max_examples=12, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.reuse, Phase.generate))
STEP_MS = 1_000
STEPS = 60
RUNS = {"short": 1, "small": 3, "long": 7, "gang": 4}
"""How many steps each model runs."""
SLOTS = st.lists(st.integers(1, 3), min_size=1, max_size=4).filter(lambda slots: 2 <= sum(slots) <= 5)
FLOOD = st.lists(st.sampled_from(("short", "small", "long")), min_size=6, max_size=6)
"""The jobs that come at each step: more than the slots take."""


class Yard:
    """One cluster and what its nodes do."""

    def __init__(self, slots: list[int], ranks: int, staged_per_slot: int = 0) -> None:
        clusters = {"east": Cluster(POOL, 1_000, staged_per_slot=staged_per_slot)}
        self.pool = Pool(msgspec.structs.replace(POLICY, discipline="fifo", clusters=clusters), check=False)
        self.ends: dict[str, int] = {}
        """By dispatch that runs: the step in which it ends."""
        self.models: dict[str, str] = {}
        self.submitted: list[str] = []
        """Jobs in the order of their submission."""
        self.dispatched: list[str] = []
        self.reserved: dict[str, GangReserved] = {}
        self.at_ms: dict[str, int] = {}
        """By job: when it was dispatched."""
        for model in RUNS:
            self.pool.publish(model, Requirements(("cpu",), 0, ranks=ranks) if model == "gang" else CPU)
        for number, count in enumerate(slots):
            self.pool.join(f"n{number}", slots=count, address=f"n{number}:29500")
        for model in RUNS:  # so that it is known how long each runs
            self.step([model], place=-100)
            for later in range(-99, -99 + RUNS[model]):
                self.step([], place=later)

    def step(self, models: list[str], place: int) -> None:
        pool = self.pool
        pool.now_ms += STEP_MS
        said = []
        for node in sorted(pool.state.nodes):
            reports = self._reports(node, place)
            if reports:
                said.append(NodeReport(node, "s1", tuple(reports)))
        bodies = [self._submission(model) for model in models]
        for body in bodies:  # one a batch: no two have the same place in the line
            self._note(pool.tell(body, after_ms=1, lease_ms=0))
        self._note(pool.tell(*said, lease_ms=0))

    def _submission(self, model: str) -> Submission:
        body = submission(len(self.submitted), model=model)
        self.submitted.append(body.job)
        self.models[body.job] = model
        return body

    def _reports(self, node: str, place: int) -> list[Report]:
        reports: list[Report] = []
        held = sorted(self.pool.state.node_attempts[node].values(), key=lambda held: dispatch_order(held.dispatch))
        free = self.pool.state.nodes[node].slots - sum(ranks_on(a, node) for a in held if a.dispatch in self.ends)
        for attempt in held:
            end = self.ends.get(attempt.dispatch)
            if end is not None and end <= place:
                if attempt.node == node:
                    reports.append(Succeeded(attempt.job, attempt.dispatch, MANIFEST))
                free += ranks_on(attempt, node)
        for attempt in held:
            if attempt.dispatch not in self.ends and free >= ranks_on(attempt, node) and attempt.node == node:
                free -= ranks_on(attempt, node)
                self.ends[attempt.dispatch] = place + RUNS[self.models[attempt.job]]
                reports.append(Started(attempt.job, attempt.dispatch))
        return reports

    def _note(self, events: list[Event]) -> None:
        for reserved in only(events, GangReserved):
            self.reserved[reserved.job] = reserved
        for event in only(events, JobDispatched):
            self.dispatched.append(event.job)
            self.at_ms[event.job] = self.pool.now_ms


@SOME
@given(SLOTS, st.integers(2, 5), FLOOD, st.integers(1, 3), st.integers(0, 1))
def test_a_gang_under_endless_small_jobs_goes_when_what_ran_on_its_slots_has_ended(
    slots: list[int], ranks: int, flood: list[str], gang_step: int, staged_per_slot: int
) -> None:
    """The bound of docs/decisions/0010. Run times are as expected here, so the gang goes once the last kept slot was
    expected to be free, plus a step for each start in between."""
    ranks = min(ranks, sum(slots))
    yard = Yard(slots, ranks, staged_per_slot)
    gang = a_job(len(RUNS) + gang_step * len(flood))
    for place in range(5 * STEPS):
        yard.step([*(["gang"] if place == gang_step else []), *flood], place)
        if gang in yard.at_ms:
            break
    assert gang in yard.at_ms
    assume(gang in yard.reserved)  # else it found its slots free when its turn came
    assert yard.at_ms[gang] <= yard.reserved[gang].free_ms + (2 + staged_per_slot) * (STEP_MS + len(flood))


@SOME
@given(SLOTS, st.integers(2, 5), st.integers(1, 2), FLOOD)
def test_small_jobs_under_endless_gangs_go_before_every_gang_that_came_after_them(
    slots: list[int], ranks: int, gangs: int, flood: list[str]
) -> None:
    yard = Yard(slots, min(ranks, sum(slots)))
    for place in range(STEPS):
        yard.step([*["gang"] * gangs, flood[place % len(flood)]], place)
    went = {job: place for place, job in enumerate(yard.dispatched)}
    order = {job: place for place, job in enumerate(yard.submitted)}
    gone = [job for job in went if yard.models[job] == "gang"]
    assert len(gone) > 5
    for job in order:
        if yard.models[job] != "gang":
            later = [went[gang] for gang in gone if order[gang] > order[job]]
            assert not later or went.get(job, STEPS * 10) < min(later)


@SOME
@given(SLOTS, st.integers(2, 5), st.permutations(("long", "long", "small", "short", "short", "short")))
def test_slots_that_are_kept_are_used_meanwhile(slots: list[int], ranks: int, flood: list[str]) -> None:
    """While a kept slot is free, no job waits that is expected to end before the gang could go."""
    yard = Yard(slots, min(ranks, sum(slots)))
    for place in range(STEPS):
        yard.step([*(["gang"] if place % 9 == 0 else []), *flood], place)
        state = yard.pool.state
        for reservation in state.reserved.values():
            free = any(group.kept for group in state.groups.values())
            fits = (
                state.now_ms + state.clusters["east"].fetch_ms + state.run_ms[version_of("short/v1")]
                <= reservation.free_ms
            )
            assert not (free and fits and state.classes[CPU].waiting and _first(yard) == "short")


def _first(yard: Yard) -> str:
    waiting = [job for job in yard.submitted if job in yard.pool.state.jobs and yard.pool.job(job).open is None]
    return next((yard.models[job] for job in waiting if yard.models[job] != "gang"), "")
