"""Whether another job of the line goes first, because a free slot has its version loaded: a switch costs minutes.

Only when the job whose turn it is finds its version loaded on no free slot; only among the first `look_ahead_jobs` of
the line; and only while no job passed over has waited more than `look_ahead_percent` of its SLO, so that none waits
longer than that for it. It costs at most a look at so many jobs a pick.

Seam: `may_be_passed`.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.policy import Policy
from scheduling.retries import policy_of
from scheduling.state import Group, Job, Line, State


def instead(state: State, line: Line, head: str, groups: Sequence[Group]) -> str:
    """The job that goes instead of the one whose turn it is, or "". `groups` have room for the line's jobs."""
    policy = policy_of(state)
    if not policy.look_ahead_jobs:
        return ""
    free = [group for group in groups if group.free]
    chosen = state.jobs[head]
    if not free or not may_be_passed(state, policy, chosen):
        return ""
    if any(group.free & group.loaded.get(chosen.version, 0) for group in free):
        return ""
    loaded = {version for group in free for version, nodes in group.loaded.items() if nodes & group.free}
    if not loaded:
        return ""
    for place in range(line.start, min(len(line.entries), line.start + policy.look_ahead_jobs)):
        job = state.jobs[line.entries[place][1]]
        if job.version in loaded:
            return job.job
        if not may_be_passed(state, policy, job):
            return ""
    return ""


def may_be_passed(state: State, policy: Policy, job: Job) -> bool:
    """The job has time left."""
    return (state.now_ms - job.submitted_ms) * 100 <= policy.look_ahead_percent * state.slos[job.tier]
