"""Which job ids have ended: remembered for as long as a copy of their submission could still come. Part of `evolve`.

An id is forgotten no sooner than `submission_age_max_ms` after its job ended. Ids of jobs that ended before
`forgotten_ms` may be forgotten. `judge` quarantines a Kafka submission older than that, so no copy of a forgotten job
can run, even when a later policy allows older copies.
"""

from __future__ import annotations

from itertools import islice

from contract.batch import IDS_FORGOTTEN_MAX
from scheduling.state.pool import State

RUN_MS = 60_000
"""Ids of jobs that ended within the same minute are forgotten together."""


def remember(state: State, job: str, tenant: str) -> None:
    """The job ended now."""
    state.ended[job] = tenant
    minute_ms = state.now_ms - state.now_ms % RUN_MS
    runs = state.ended_runs
    if runs and runs[-1][0] == minute_ms:
        runs[-1] = (minute_ms, runs[-1][1] + 1)
    else:
        runs.append((minute_ms, 1))


def forget(state: State) -> None:
    """Time went on: the oldest ids go, IDS_FORGOTTEN_MAX at most."""
    if state.policy is None:
        return
    before_ms = state.now_ms - state.policy.submission_age_max_ms
    runs = state.ended_runs
    left = IDS_FORGOTTEN_MAX
    while left and runs and runs[0][0] + RUN_MS <= before_ms:
        minute_ms, count = runs[0]
        going = min(left, count)
        for job in list(islice(state.ended, going)):
            del state.ended[job]
        state.forgotten_ms = minute_ms + RUN_MS
        left -= going
        if going == count:
            runs.popleft()
        else:
            runs[0] = (minute_ms, count - going)
