"""A policy on trial: it was applied with a bound on attainment. When the bound is missed, the policy before it returns.

The trial counts first starts of jobs after the adoption, up to the number that the operator set. Each start is judged
by the SLO that was in force when the job was accepted. The reversal comes as soon as the bound cannot be reached any
more. Once the number of jobs has started and the bound was kept, the trial is over and the policy stays. Adopting
another policy ends the trial too.

Seam: `is_lost`.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import Event, PolicyAdopted, PolicyReverted
from contract.policy import canonical
from scheduling.state.jobs import Job
from scheduling.state.pool import State, Trial


def begin(state: State, event: PolicyAdopted) -> None:
    """Begin or end a trial. Call this before the event's policy takes the place of the policy in force."""
    before = state.policy
    if before is None or not event.revert_jobs or not event.revert_below_permille:
        state.trial = None
        return
    state.trial = Trial(canonical(before), state.fingerprint, event.revert_below_permille, event.revert_jobs)


def saw_start(state: State, job: Job) -> None:
    """A job starts. Call this before the job is marked as having started."""
    trial = state.trial
    if trial is None or job.has_started or trial.started == trial.jobs:
        return
    trial.started += 1
    trial.kept += state.now_ms - job.submitted_ms <= job.slo_ms
    if trial.started == trial.jobs and not is_lost(trial):
        state.trial = None


def is_lost(trial: Trial) -> bool:
    """The bound will be missed even if every start to come is in time."""
    best = trial.kept + trial.jobs - trial.started
    return best * 1000 < trial.below_permille * trial.jobs


def revert(state: State) -> Iterator[Event]:
    """The reversal, if one is due."""
    trial = state.trial
    if trial is not None and is_lost(trial):
        yield PolicyReverted(
            policy=trial.before,
            fingerprint=trial.fingerprint,
            attainment_permille=trial.kept * 1000 // trial.started,
            jobs=trial.started,
        )
