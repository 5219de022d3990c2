"""Broken variants of how media are prepared. As in `mutants`, each takes one mechanism out, and the test that promises
the mechanism must fail. The seams are those that the modules of `scheduling` name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from contract import events as said
from scheduling import evolve, judge, plan
from scheduling.attempts import orders, reports, retries, withdrawals
from scheduling.disciplines.promise import Promise
from scheduling.picking import preparations
from scheduling.state import backpressure, capacity, lines, preparing, sharing
from tests.unit.scheduling import test_preparing, test_preparing_ends, test_preparing_lives, test_preparing_order
from tests.unit.scheduling.preparing import RULES_A, RULES_B

Break = Callable[[pytest.MonkeyPatch], None]


def instead(module: Any, name: str, broken: Any) -> Break:
    return lambda patch: patch.setattr(module, name, broken)


def event_is_followed_by(event: type, more: Callable[[Any, Any], None]) -> Break:
    """The event changes something else as well."""

    def breaks(patch: pytest.MonkeyPatch) -> None:
        original = evolve._CHANGES[event]

        def change(state: Any, happened: Any) -> None:
            original(state, happened)
            more(state, happened)

        patch.setitem(evolve._CHANGES, event, change)

    return breaks


def withdrawn_versions_are_prepared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lines, "is_shelved", lambda state, job: False)
    patch.setattr(preparing, "shelve", lambda state, version: None)


def slots_of_workers_fit(patch: pytest.MonkeyPatch) -> None:
    def fits(requirements: Any, group: Any) -> bool:
        return group.chipset in requirements.chipsets

    patch.setattr(capacity, "fits", fits)
    patch.setattr(lines, "fits", fits)


def the_shadow_waits_for_what_is_not_prepared(patch: pytest.MonkeyPatch) -> None:
    def adopted(self: Promise, state: Any) -> None:
        self.retired(state)
        for job in state.jobs.values():
            if job.open is None:
                lines.line_of(state, job.version, job.tier)
                self.entered(state, job, job.attempts == 0)

    patch.setattr(Promise, "adopted", adopted)


def _of_its_worker(state: Any, node: str, session: str, report: Any) -> bool:
    job = state.jobs.get(report.job)
    held = job.open if job is not None else None
    return held is not None and (held.node, held.session) == (node, session)


def _that_is_named(state: Any, node: str, session: str, report: Any) -> bool:
    job = state.jobs.get(report.job)
    named = getattr(report, "preparation", "") or getattr(report, "dispatch", "")
    return job is not None and job.open is not None and job.open.dispatch == named


def _of_any_kind(state: Any, node: str, session: str, report: Any) -> bool:
    return _of_its_worker(state, node, session, report) and _that_is_named(state, node, session, report)


def _charge_again(state: Any, event: Any) -> None:
    job = state.jobs[event.job]
    if job.preparations > 1:
        shares = preparing.shares_of(state, job.tier)
        sharing.share_of(shares, job.tenant).waiting += 1
        sharing.charge_in(shares, state.policy, job)
        sharing.share_of(shares, job.tenant).waiting -= 1


def _by_age(state: Any) -> Any:
    return lambda line, entry: entry


def _count_no_end(state: Any, job: Any) -> None:
    state.preparing.since = preparing.TURN - 1


MUTANTS: dict[str, tuple[Break, Callable[[], None]]] = {
    # who is prepared
    "a job with media waits for a slot at once": (
        instead(judge, "is_to_prepare", lambda version, body: False),
        test_preparing.test_a_job_with_media_is_prepared_before_it_waits_for_a_slot,
    ),
    "an attempt goes to a CPU worker": (
        slots_of_workers_fit,
        test_preparing.test_an_attempt_never_goes_to_a_worker_nor_a_preparation_to_another_node,
    ),
    "a cluster changes its kind": (
        instead(capacity, "changes_kind", lambda state, policy: ""),
        test_preparing_order.test_a_cluster_keeps_its_kind_while_the_policy_has_it_and_while_nodes_are_there,
    ),
    # order and place
    "preparations go by age": (
        instead(preparations, "by_fraction", _by_age),
        test_preparing.test_tenants_take_turns_and_tiers_go_by_wait_fraction,
    ),
    "tenants take no turns before CPU workers": (
        instead(sharing, "charge_in", lambda shares, policy, job: None),
        test_preparing.test_tenants_take_turns_and_tiers_go_by_wait_fraction,
    ),
    "a tenant pays for each preparation": (
        event_is_followed_by(said.PreparationOrdered, _charge_again),
        test_preparing_order.test_a_tenant_pays_once_for_a_job_however_often_the_job_is_prepared,
    ),
    "overdue jobs have no turn before CPU workers": (
        instead(preparations, "overdue_turn", lambda state: None),
        test_preparing_order.test_one_order_of_32_belongs_to_the_job_that_is_overdue_the_longest,
    ),
    "overdue jobs always have their turn before CPU workers": (
        instead(preparing, "count_turn", _count_no_end),
        test_preparing_order.test_one_order_of_32_belongs_to_the_job_that_is_overdue_the_longest,
    ),
    "preparations know no limit": (
        instead(preparations, "room", lambda group: group.free | group.trial),
        test_preparing.test_no_more_is_open_in_a_cluster_than_its_limit,
    ),
    "preparations wait behind others": (
        instead(preparations, "room", backpressure.room),
        test_preparing_order.test_nothing_waits_behind_a_preparation_while_another_worker_may_come,
    ),
    "preparations begin while the pool is on hold": (
        instead(preparations, "is_due", lambda state: state.preparing.requirement_class.waiting > 0),
        test_preparing_order.test_a_pool_on_hold_begins_no_preparation_and_hears_of_those_that_are_open,
    ),
    # who is heard
    "whatever preparation a worker names is the open one": (
        instead(reports, "report_is_current", _of_its_worker),
        test_preparing_ends.test_only_the_worker_and_the_session_that_got_the_order_are_heard,
    ),
    "anybody speaks for a preparation": (
        instead(reports, "report_is_current", _that_is_named),
        test_preparing_ends.test_only_the_worker_and_the_session_that_got_the_order_are_heard,
    ),
    "words of attempts count for preparations": (
        instead(reports, "report_is_current", _of_any_kind),
        test_preparing_ends.test_words_of_attempts_say_nothing_of_a_preparation_and_the_other_way_round,
    ),
    # how a preparation ends
    "lost workers do not count": (
        instead(retries, "NODE_GONE", ()),
        test_preparing_ends.test_media_over_which_five_workers_were_lost_are_refused_and_a_success_forgets_the_losses,
    ),
    "media are never to blame": (
        instead(retries, "media_are_to_blame", lambda job: False),
        test_preparing_ends.test_media_over_which_five_workers_were_lost_are_refused_and_a_success_forgets_the_losses,
    ),
    "a success does not forget lost workers": (
        event_is_followed_by(
            said.InputsPrepared, lambda state, event: setattr(state.jobs[event.job], "worker_losses", 4)
        ),
        test_preparing_ends.test_media_over_which_five_workers_were_lost_are_refused_and_a_success_forgets_the_losses,
    ),
    "each outage is the first one": (
        event_is_followed_by(said.PreparationClosed, lambda state, event: setattr(state.jobs[event.job], "rests", 0)),
        test_preparing_ends.test_outages_rest_up_to_the_longest_backoff_and_refuse_nothing,
    ),
    "workers are not told to stop": (
        instead(orders, "_stop_preparation", lambda due, state, attempt: None),
        partial(
            test_preparing_ends.test_a_cancel_an_erasure_and_a_deadline_end_the_job_at_once,
            test_preparing_ends.being_prepared,
        ),
    ),
    "a preparation is sent once only": (
        instead(orders, "repeats", lambda state, attempt: False),
        test_preparing_ends.test_an_order_is_repeated_until_the_worker_lists_it_and_no_longer,
    ),
    "a preparation goes on that is not open": (
        instead(orders, "kills_unknown", lambda dispatch, known: False),
        test_preparing_ends.test_a_worker_stops_what_is_not_open_any_more_whenever_it_lists_that,
    ),
    "draining clusters keep their preparations": (
        instead(plan, "_drains", lambda state: iter(())),
        test_preparing_ends.test_at_the_deadline_of_a_draining_cluster_its_preparations_go_elsewhere,
    ),
    # versions and lives
    "withdrawn versions are prepared": (
        withdrawn_versions_are_prepared,
        partial(
            test_preparing_lives.test_a_job_whose_alias_stays_on_a_withdrawn_version_is_not_prepared,
            test_preparing_lives.unprepared,
        ),
    ),
    "prepared inputs serve any version": (
        instead(withdrawals, "drops_inputs", lambda state, job, version: False),
        partial(
            test_preparing_lives.test_prepared_inputs_stay_while_the_new_version_asks_for_the_same,
            RULES_B,
        ),
    ),
    "prepared inputs serve one version": (
        instead(withdrawals, "drops_inputs", lambda state, job, version: job.media > 0),
        partial(
            test_preparing_lives.test_prepared_inputs_stay_while_the_new_version_asks_for_the_same,
            RULES_A,
        ),
    ),
    "all jobs before CPU workers move at once": (
        instead(withdrawals, "REPINS_PER_BATCH_MAX", 10_000),
        test_preparing_lives.test_many_jobs_that_are_preparing_move_a_bounded_number_a_batch,
    ),
    "the shadow waits for jobs that are not prepared": (
        the_shadow_waits_for_what_is_not_prepared,
        partial(
            test_preparing_lives.test_another_discipline_knows_nothing_of_jobs_that_are_not_prepared, "waits", "fifo"
        ),
    ),
    "forecasts count from the submission": (
        event_is_followed_by(
            said.InputsPrepared,
            lambda state, event: setattr(state.jobs[event.job], "lined_ms", state.jobs[event.job].submitted_ms),
        ),
        test_preparing_lives.test_a_new_forecast_is_twice_the_wait_for_a_slot_and_counts_from_the_submission,
    ),
}
