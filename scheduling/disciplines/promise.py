"""The default: as many jobs as possible on time, and no job waits longer than the longest wait under strict priority.

A *shadow* (`promise_shadow`) replays strict priority on the very same slots. The worst wait that the shadow has had, in
multiples of the SLO, is the *promise*. Each line has a **late** part and a part **on time**. A pick (`promise_order`)
goes through the tiers from the highest: a late job that must go now or break the promise (`due`); else the highest job
on time, or a lower job at its last chance if the tiers above can afford a slot; else, with no job on time, the largest
wait fraction (`catch_up`). One of TURN picks belongs to jobs that have waited `promise_max` SLOs (`overdue`), which
bounds every wait whatever the higher tiers do. docs/decisions/0008 has the rule, its bound and the source of its
numbers; `promise_memory` makes the same picks faster.

Seam: `shadow_slot`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection

from contract.events import JobDispatched
from contract.lifecycle import JobState
from scheduling.disciplines.discipline import Discipline
from scheduling.disciplines.promise_memory import RememberingOrder
from scheduling.disciplines.promise_shadow import pace_of, put_off, settle, shadow_slot
from scheduling.picking.ranking import LineOrder
from scheduling.state.jobs import Job
from scheduling.state.lines import entry_of
from scheduling.state.nodes import Group
from scheduling.state.pool import PromiseFacts, RequirementClass, State


class Promise(Discipline):
    name = "promise"
    splits = True

    def order(self, state: State, rooms: Collection[RequirementClass]) -> LineOrder:
        return RememberingOrder(state, rooms)

    def adopted(self, state: State) -> None:
        self.retired(state)
        queued = (job for job in state.jobs.values() if job.state is JobState.QUEUED)
        for job in sorted(queued, key=lambda job: entry_of(state, job)):
            self.entered(state, job, job.attempts == 0)

    def retired(self, state: State) -> None:
        state.promise = PromiseFacts()
        for requirement_class in state.classes.values():
            requirement_class.pace = None

    def entered(self, state: State, job: Job, first: bool) -> None:
        line = pace_of(state, state.lines[job.version, job.tier].requirement_class, job.tier)
        if first:
            shadow = line.shadow
            if not shadow or shadow[-1] <= job.submitted_ms:
                shadow.append(job.submitted_ms)
            else:
                insort(shadow, job.submitted_ms)

    def dispatched(self, state: State, job: Job, group: Group, event: JobDispatched) -> None:
        if event.passed and event.reason == "due":
            put_off(state, state.jobs[event.passed])
        paces = [
            (requirement_class, requirement_class.pace)
            for requirement_class in state.classes.values()
            if requirement_class.pace is not None and group in requirement_class.groups
        ]
        shadow_slot(state, paces)
        for requirement_class, pace in paces:
            if requirement_class.waiting:
                pace.since += 1
        requirement_class = state.lines[job.version, job.tier].requirement_class
        if event.reason == "overdue" and requirement_class.pace is not None:
            requirement_class.pace.since = 0
        if requirement_class.waiting == 1:  # the job that goes
            settle(state, requirement_class)

    def ended(self, state: State, job: Job) -> None:
        requirement_class = state.lines[job.version, job.tier].requirement_class
        line = requirement_class.pace.lines.get(job.tier) if requirement_class.pace is not None else None
        if line is not None:
            place = bisect_left(line.shadow, job.submitted_ms)
            if place < len(line.shadow) and line.shadow[place] == job.submitted_ms:
                del line.shadow[place]
        if not requirement_class.waiting:
            settle(state, requirement_class)
