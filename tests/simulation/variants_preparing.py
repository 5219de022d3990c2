"""Broken variants of how media are prepared. As in `variants`, each takes one mechanism out of the real code, and the
simulation must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from contract import inputs
from contract.events import Event, PreparationClosed
from contract.policy import Policy
from scheduling import judge
from scheduling.attempts import reports, retries, withdrawals
from scheduling.disciplines.promise import Promise
from scheduling.picking import preparations
from scheduling.state import backpressure, capacity, lines, preparing, sharing
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt, Group
from scheduling.state.pool import Entry, State

Patches = list[tuple[Any, str, Any]]


def media_wait_for_slots_at_once() -> Patches:
    return [(judge, "is_to_prepare", lambda version, body: False)]


def held_pools_begin_preparations() -> Patches:
    return [(preparations, "is_due", lambda state: state.preparing.requirement_class.waiting > 0)]


def preparations_know_no_limit() -> Patches:
    """Neither a limit nor a drain holds them back."""
    return [(preparations, "room", lambda group: group.free | group.trial)]


def preparations_wait_behind_others() -> Patches:
    def room(group: Group) -> int:
        return backpressure.room(group)

    def first_of(group: Group) -> str:
        return group.ids[(room(group) & -room(group)).bit_length() - 1]

    return [(preparations, "room", room), (preparations, "_first_of", first_of)]


def any_preparation_of_the_worker_counts() -> Patches:
    """A late word about a preparation that was closed counts for the one that is open now."""
    current = reports.report_is_current

    def is_current(state: State, node: str, session: str, report: inputs.Report) -> bool:
        if isinstance(report, inputs.AttemptReport):
            return current(state, node, session, report)
        job = state.jobs.get(report.job)
        return job is not None and job.open is not None and job.open.prepares

    return [(reports, "report_is_current", is_current)]


def words_of_sessions_that_are_over_count() -> Patches:
    current = reports.report_is_current

    def is_current(state: State, node: str, session: str, report: inputs.Report) -> bool:
        if isinstance(report, inputs.AttemptReport):
            return current(state, node, session, report)
        job = state.jobs.get(report.job)
        held = job.open if job is not None else None
        return held is not None and held.prepares and held.node == node

    return [(reports, "report_is_current", is_current)]


def preparations_go_by_age() -> Patches:
    def by_age(state: State) -> Callable[[Any, Entry], tuple[Any, ...]]:
        return lambda line, entry: entry

    return [(preparations, "by_fraction", by_age)]


def tenants_take_no_turns_before_workers() -> Patches:
    charge_in = sharing.charge_in

    def charged(shares: Any, policy: Policy, job: Job) -> None:
        if not job.media or job.prepared:
            charge_in(shares, policy, job)

    return [(sharing, "charge_in", charged)]


def overdue_jobs_have_no_turn_before_workers() -> Patches:
    return [(preparations, "overdue_turn", lambda state: None)]


def overdue_jobs_always_go_first() -> Patches:
    def count_turn(state: State, job: Job) -> None:
        state.preparing.since = preparing.TURN - 1

    return [(preparing, "count_turn", count_turn)]


def media_are_never_to_blame() -> Patches:
    return [(retries, "media_are_to_blame", lambda job: False)]


def workers_are_asked_again_at_once() -> Patches:
    """What ended by an outage or with its worker does not rest."""
    close_preparation = retries.close_preparation

    def closed(state: State, attempt: Attempt, reason: str) -> Iterator[Event]:
        for event in close_preparation(state, attempt, reason):
            is_end = isinstance(event, PreparationClosed)
            yield msgspec.structs.replace(event, eligible_lease_ms=0) if is_end else event

    return [(retries, "close_preparation", closed)]


def drained_clusters_keep_their_preparations() -> Patches:
    close = retries.close

    def closed(state: State, attempt: Attempt, reason: str, node: str) -> Iterator[Event]:
        return iter(()) if attempt.prepares and reason == "pre_empted" else close(state, attempt, reason, node)

    return [(retries, "close", closed)]


def withdrawn_versions_are_prepared_to_the_end() -> Patches:
    stop = withdrawals._stop

    def stopped(state: State, job_id: str) -> Iterator[Event] | None:
        attempt = state.jobs[job_id].open
        return None if attempt is not None and attempt.prepares else stop(state, job_id)

    return [(withdrawals, "_stop", stopped)]


def prepared_inputs_serve_any_version() -> Patches:
    return [(withdrawals, "drops_inputs", lambda state, job, version: False)]


def prepared_inputs_serve_one_version() -> Patches:
    return [(withdrawals, "drops_inputs", lambda state, job, version: job.media > 0)]


def lost_inputs_are_waited_for() -> Patches:
    """A job whose inputs the store has lost waits for another attempt, which misses them too."""
    what_follows = retries.what_follows

    def follows(state: State, job: Job, rest_ms: int, *, lacks_inputs: bool = False) -> Iterator[Event]:
        return what_follows(state, job, rest_ms)

    return [(retries, "what_follows", follows)]


def clusters_change_their_kind() -> Patches:
    return [(capacity, "changes_kind", lambda state, policy: "")]


def nodes_of_any_kind_join() -> Patches:
    refusal = reports._refusal

    def refused(state: State, body: inputs.NodeJoined) -> str:
        reason = refusal(state, body)
        return "" if reason == "wrong_kind" else reason

    return [(reports, "_refusal", refused)]


def jobs_run_on_cpu_workers() -> Patches:
    def fits(requirements: inputs.Requirements, group: Group) -> bool:
        return group.chipset in requirements.chipsets and group.memory_mib >= requirements.memory_mib

    return [(capacity, "fits", fits), (lines, "fits", fits)]


def prepared_jobs_stand_behind() -> Patches:
    """A job that was prepared stands where it would stand if it had come then."""
    entry_of = lines.entry_of

    def entry(state: State, job: Job) -> Entry:
        return entry_of(state, msgspec.structs.replace(job, submitted_ms=job.lined_ms))

    return [(lines, "entry_of", entry)]


def preparations_use_attempt_numbers() -> Patches:
    open_attempt = capacity.open_attempt

    def opened(state: State, attempt: Attempt) -> None:
        open_attempt(state, attempt)
        state.jobs[attempt.job].attempts += attempt.prepares

    return [(capacity, "open_attempt", opened)]


def the_shadow_waits_for_media() -> Patches:
    """The shadow of `promise` has jobs in line that no slot could take."""

    def adopted(self: Promise, state: State) -> None:
        self.retired(state)
        for job in sorted((job for job in state.jobs.values() if job.open is None), key=lambda job: job.submitted_ms):
            lines.line_of(state, job.version, job.tier)
            self.entered(state, job, job.attempts == 0)

    return [(Promise, "adopted", adopted)]


VARIANTS: dict[str, Callable[[], Patches]] = {
    variant.__name__: variant
    for variant in (
        media_wait_for_slots_at_once,
        held_pools_begin_preparations,
        preparations_know_no_limit,
        preparations_wait_behind_others,
        any_preparation_of_the_worker_counts,
        words_of_sessions_that_are_over_count,
        preparations_go_by_age,
        tenants_take_no_turns_before_workers,
        overdue_jobs_have_no_turn_before_workers,
        overdue_jobs_always_go_first,
        media_are_never_to_blame,
        workers_are_asked_again_at_once,
        drained_clusters_keep_their_preparations,
        withdrawn_versions_are_prepared_to_the_end,
        prepared_inputs_serve_any_version,
        prepared_inputs_serve_one_version,
        lost_inputs_are_waited_for,
        clusters_change_their_kind,
        nodes_of_any_kind_join,
        jobs_run_on_cpu_workers,
        prepared_jobs_stand_behind,
        preparations_use_attempt_numbers,
        the_shadow_waits_for_media,
    )
}

CAUGHT_BY = dict.fromkeys(VARIANTS, 2) | {
    "held_pools_begin_preparations": 9,
    "preparations_wait_behind_others": 12,
    "any_preparation_of_the_worker_counts": 89,
    "words_of_sessions_that_are_over_count": 89,
    "overdue_jobs_have_no_turn_before_workers": 103,
    "drained_clusters_keep_their_preparations": 26,
    "prepared_inputs_serve_any_version": 9,
    "prepared_inputs_serve_one_version": 96,
    "lost_inputs_are_waited_for": 38,
    "the_shadow_waits_for_media": 10,
    "nodes_of_any_kind_join": 3,
}
"""As in `variants`. No media are prepared in the first two worlds."""
