"""Whether another job goes first because a slot has loaded its version: a switch costs minutes.

Another job goes first only when none of the slots that could start the job whose turn it is soonest has loaded that
job's version, and never instead of an `overdue` job (docs/decisions/0008). Two rules, tried in this order:

- **A switch was made a moment ago** (less than `switches.interval_ms`, which is 0 until loads are seen to cost time).
  Each line of the class offers the first of its `look_ahead_jobs` jobs whose version such a slot has loaded, and the
  discipline says which of these lines is served. Late jobs are passed over too: a switch for each of them would cost
  everyone more.
- **The job has time left.** The first of the `look_ahead_jobs` jobs of its own line goes whose version a free slot has
  loaded, as long as no job passed over has waited more than `look_ahead_percent` of its SLO.

A switch is made only by a job whose turn it is. So among jobs that have waited longer than `look_ahead_percent` of
their SLO, one goes at the latest every `interval_ms`, whatever is loaded (docs/decisions/0012).

A job that avoids nodes (scheduling.state.avoidance) passes nobody and is passed by nobody: it may not go to the node
that has loaded its version.

Seam: `may_be_passed`.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.policy import Policy
from scheduling.attempts.retries import policy_of
from scheduling.picking import placement, switches
from scheduling.picking.ranking import Choice, LineOrder
from scheduling.state.jobs import Job
from scheduling.state.nodes import Group
from scheduling.state.pool import Entry, Line, State


def instead(
    state: State, order: LineOrder, choice: Choice, turn: Entry, groups: Sequence[Group]
) -> tuple[Line, str] | None:
    """The job that goes instead of the job whose turn it is, and that job's line; None: no job does. `groups` have room
    for the line's jobs."""
    policy, line = policy_of(state), choice.line
    if not policy.look_ahead_jobs or choice.reason == "overdue":
        return None
    is_free = any(group.free for group in groups)
    if not is_free and not switches.load_ms(state):
        return None
    near = placement.soonest(groups)
    chosen = state.jobs[turn[1]]
    if chosen.avoid or any(mask & group.loaded.get(chosen.version, 0) for group, mask in near):
        return None
    loaded = {version for group, mask in near for version, nodes in group.loaded.items() if nodes & mask}
    if not loaded:
        return None
    if state.now_ms - line.requirement_class.switched_ms < switches.interval_ms(state, policy, line.requirement_class):
        return _of_class(state, policy, order, line, loaded)
    return _of_line(state, policy, line, chosen, loaded) if is_free else None


def _of_class(state: State, policy: Policy, order: LineOrder, line: Line, loaded: set[str]) -> tuple[Line, str] | None:
    offers: dict[Line, Entry] = {}
    for lines in (line.requirement_class.lines, line.requirement_class.late):
        for other in lines.values():
            for entry in other.entries[other.start : other.start + policy.look_ahead_jobs]:
                if may_go_first(state.jobs[entry[1]], loaded):
                    offers[other] = entry
                    break
    if not offers:
        return None
    best = order.best(offers)
    return best, offers[best][1]


def _of_line(state: State, policy: Policy, line: Line, chosen: Job, loaded: set[str]) -> tuple[Line, str] | None:
    if not may_be_passed(state, policy, chosen):
        return None
    for entry in line.entries[line.start : line.start + policy.look_ahead_jobs]:
        job = state.jobs[entry[1]]
        if may_go_first(job, loaded):
            return line, job.job
        if not may_be_passed(state, policy, job):
            return None
    return None


def may_go_first(job: Job, loaded: set[str]) -> bool:
    """The job may go before others, because its version is loaded. A job that avoids nodes goes in its turn only."""
    return job.version in loaded and not job.avoid


def may_be_passed(state: State, policy: Policy, job: Job) -> bool:
    """The job has time left, so another job may go before it."""
    return (state.now_ms - job.submitted_ms) * 100 <= policy.look_ahead_percent * state.slos[job.tier]
