"""Broken variants that the tests of this folder must catch. Each variant takes one mechanism out, and the test that
promises the mechanism must fail (`test_mutants`). Forecasts, which only tell, and reversals are tried in test_forecast
and test_reversal; broken variants of the whole, through faults, are in tests/simulation/variants.py. These are the
mutants that issue 6 names:

| mutant | caught |
|---|---|
| cap the fraction at 1, float comparison, count the limit on the side | below |
| forget a recalled attempt (that it still counts; that its job goes again) | below |
| iterate a set | tests/golden/test_hash_seeds.py, for each place where the order shows |
| drop one cause from `why` | tests/unit/audit/test_why_lives.py, for each cause |

The seams:

| seam | what it keeps right |
|---|---|
| `disciplines.wait_fraction.urgency(waited_ms, slo_ms, common_ms)` | the talk's order, uncapped, in integers |
| `sharing.charge(state, policy, job)`, `sharing.cost(policy, tenant, waiting)` | fair between tenants |
| `disciplines.promise.shadow_slot(state, paces)` | what everyone is promised |
| `disciplines.promise_order.TURN` | nobody starves, whatever the tiers above bring |
| `disciplines.weighted_fair.cost(state, tier)` | fair between tiers |
| `look_ahead.may_be_passed(state, policy, job)` | nobody is passed over for long |
| `switches.interval_ms(state, policy, kind)` | how long late jobs are passed over, and at all |
| `limits.saw_start(state, cluster, attempt)`, `limits.make_way(state)` | adaptive limits, which keep no slot empty |
| `limits.hiding(state, cluster)` | no more is staged behind others than hides fetching |
| `backpressure.in_flight(cluster)` | the limit, derived from the attempts |
| `backpressure.stages(cluster)` | a place of the limit is kept for a slot that becomes free |
| `capacity.close_attempt(state, attempt)` | a closed attempt no longer counts, whoever closed it |
| `capacity.node_shares(attempt)`, `NodeLoad.ranks()` | a gang holds a slot for each rank, on all its nodes |
| `gangs.ready(state)`, `reservations.keep(state, kind, job)` | a gang whose turn has come goes next |
| `reservations.may_back_fill(state, job, reservation)` | back-fill does not delay the gang |
| `judge.is_duplicate(state, job)` | once is once |
| `judge.is_too_old(state, body)` | no copy of a forgotten job runs |
| `judge.is_older_move(state, body)` | aliases move forwards |
| `reports.report_is_current(state, node, session, report)` | only the open attempt's reports count |
| `retries.counts_as_failure(attempt, reason)` | what is a failure |
| `retries.lost_alone(state, job)` | which jobs are suspected of killing nodes |
| `plan.lapses_are_due(state, caught_up)` | no lapse before all was read |
| `orders.repeats(state, attempt)` | an order is sent until its effect is seen |
| `orders.kills_unknown(dispatch, known)` | a node stops what is not open |
| `evolve.begin(state, epoch, seq, now_ms, elapsed_ms)` | lease time stands still in an outage |
| `chain.follows(head_hash, batch)`, `chain.is_known(known, prev_hash)` | fencing and damage |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from contract import chain
from contract import events as said
from contract.inputs import Started
from scheduling import evolve, judge, plan
from scheduling.attempts import orders, reports, retries
from scheduling.disciplines import promise, promise_order, wait_fraction, weighted_fair
from scheduling.picking import gangs, limits, look_ahead, moves, reservations, switches
from scheduling.state import backpressure, capacity, job_moves, sharing
from scheduling.state.gang_members import node_shares
from scheduling.state.nodes import ClusterState, NodeLoad
from tests.properties.scheduling import test_gangs as test_gangs_without_end
from tests.properties.scheduling import test_starvation
from tests.unit.contract import test_chain
from tests.unit.scheduling import (
    test_attempts,
    test_clusters,
    test_disciplines,
    test_dispatching,
    test_endings,
    test_full_clusters,
    test_gangs,
    test_limits,
    test_look_ahead,
    test_moves,
    test_nodes,
    test_orders,
    test_reservations,
    test_submissions,
)


def limit_counted_on_the_side(patch: pytest.MonkeyPatch) -> None:
    """The count goes up at a dispatch and down at a start; recalls and lapses were forgotten."""
    counted: dict[str, int] = {}

    def count(event: type, by: int) -> None:
        original = evolve._CHANGES[event]

        def change(state: Any, happened: Any) -> None:
            original(state, happened)
            attempt = state.jobs[happened.job].open
            counted[attempt.cluster] = counted.get(attempt.cluster, 0) + by

        patch.setitem(evolve._CHANGES, event, change)

    count(said.JobDispatched, 1)
    count(said.AttemptStarted, -1)

    def in_flight(cluster: ClusterState) -> int:
        return max(0, counted.get(cluster.name, 0) // 2)  # the reader of each test folds every event too

    patch.setattr(backpressure, "in_flight", in_flight)


def limiter_forgets_a_lapsed_lease(patch: pytest.MonkeyPatch) -> None:
    original = capacity.close_attempt

    def close_attempt(state: Any, attempt: Any) -> None:
        kept = state.clusters[attempt.cluster].staged.get(attempt.job)
        original(state, attempt)
        if attempt.node not in state.nodes and kept is not None:
            state.clusters[attempt.cluster].staged["lapsed " + attempt.job] = kept

    patch.setattr(capacity, "close_attempt", close_attempt)


def a_member_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = capacity.close_attempt

    def close_attempt(state: Any, attempt: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(capacity, "node_shares", lambda attempt: node_shares(attempt)[:1])
            original(state, attempt)

    patch.setattr(capacity, "close_attempt", close_attempt)


def lease_time_runs_on_through_an_outage(patch: pytest.MonkeyPatch) -> None:
    original = evolve.begin

    def begin(state: Any, epoch: int, seq: int, now_ms: int, elapsed_ms: int) -> None:
        since_ms = now_ms - state.now_ms if state.now_ms else 0
        original(state, epoch, seq, now_ms, max(elapsed_ms, since_ms))

    patch.setattr(evolve, "begin", begin)


def instead(module: Any, name: str, broken: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, broken)


def open_at_all(state: Any, node: str, session: str, report: Any) -> bool:
    job = state.jobs.get(report.job)
    return job is not None and job.open is not None


def _requeued_and_never_queued(state: Any, event: Any) -> None:
    job = job_moves.moved(state, event)
    job.eligible_lease_ms = event.eligible_lease_ms


def _saw_any_start(state: Any, cluster: Any, attempt: Any) -> None:
    cluster.fetch_ms = limits.smoothed(cluster.fetch_ms, state.now_ms - attempt.dispatched_ms)


def _start_and_nothing_more(state: Any, job: Any, report: Any, node: str) -> Any:
    yield said.AttemptStarted(job.job, report.dispatch)


MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = {
    "the fraction is capped at 1": (
        instead(wait_fraction, "urgency", lambda waited, slo, common: min(waited, slo) * (common // slo)),
        test_dispatching.test_a_wait_beyond_the_slo_goes_on_counting,
    ),
    "fractions are compared as floats": (
        instead(wait_fraction, "urgency", lambda waited, slo, common: waited / slo),
        test_dispatching.test_fractions_that_floats_cannot_tell_apart_are_told_apart,
    ),
    "the tags of tenants are forgotten": (
        instead(sharing, "charge", lambda state, policy, job: None),
        test_disciplines.test_one_tenants_ten_thousand_jobs_delay_anothers_first_by_one_pick,
    ),
    "weights and bursts of tenants cost nothing": (
        instead(sharing, "cost", lambda policy, tenant, waiting: sharing.PICK),
        test_disciplines.test_tenants_share_a_tier_by_weight_and_a_burst_costs_more,
    ),
    "the shadow is forgotten": (
        instead(promise, "shadow_slot", lambda state, paces: None),
        test_disciplines.test_promise_serves_what_is_on_time_and_bounds_every_wait,
    ),
    "nothing is overdue": (
        instead(promise_order, "TURN", 1 << 62),
        test_starvation.test_promise_starts_every_job_within_its_cap_and_32_dispatches_for_each_overdue_before_it,
    ),
    "weights of tiers cost nothing": (
        instead(weighted_fair, "cost", lambda state, tier: 1),
        test_disciplines.test_weights_decide_the_shares_of_tiers,
    ),
    "look-ahead passes over whoever waits": (
        instead(look_ahead, "may_be_passed", lambda state, policy, job: True),
        test_disciplines.test_a_job_whose_version_is_loaded_goes_first_while_the_one_passed_over_has_time,
    ),
    "a switch costs nothing": (
        instead(switches, "interval_ms", lambda state, policy, kind: 0),
        test_look_ahead.test_a_late_job_is_passed_over_until_the_next_switch_is_due,
    ),
    "no switch is ever due": (
        instead(switches, "interval_ms", lambda state, policy, kind: 1 << 62),
        test_look_ahead.test_a_late_job_is_passed_over_until_the_next_switch_is_due,
    ),
    "strict priority of the shortest SLO": (
        instead(wait_fraction, "urgency", lambda waited, slo, common: -slo),
        test_dispatching.test_the_largest_wait_fraction_goes_first_and_oldest_first_within_a_tier,
    ),
    "a recalled attempt is forgotten before the node confirms": (
        instead(backpressure, "in_flight", lambda cluster: sum(a.stop == "" for a in cluster.staged.values())),
        test_dispatching.test_a_recall_gives_its_place_back_only_when_it_is_confirmed,
    ),
    "the limit is counted on the side": (
        limit_counted_on_the_side,
        test_dispatching.test_a_lapsed_lease_gives_its_places_back_to_the_limit,
    ),
    "a recalled attempt's job is forgotten": (
        lambda patch: patch.setitem(evolve._CHANGES, said.JobRequeued, _requeued_and_never_queued),
        partial(test_full_clusters.test_no_slot_is_idle_while_a_job_waits_anywhere_for_longer_than_a_heartbeat, 2),
    ),
    "nothing is recalled for a slot elsewhere": (
        instead(moves, "recalls", lambda state: iter(())),
        partial(test_full_clusters.test_no_slot_is_idle_while_a_job_waits_anywhere_for_longer_than_a_heartbeat, 2),
    ),
    "what is staged takes the last place of a limit": (
        instead(backpressure, "stages", backpressure.takes_work),
        test_moves.test_what_is_staged_never_takes_the_last_place_from_a_slot_that_it_does_not_fit,
    ),
    "a node's attempts are not recalled while a slot there is about to start": (
        instead(moves, "_came_before", lambda one, other: False),
        test_moves.test_of_a_node_on_which_a_slot_is_about_to_start_only_what_waits_behind_that_is_recalled,
    ),
    "as much is staged as the limit allows": (
        instead(limits, "hiding", lambda state, cluster: 1 << 30),
        partial(test_full_clusters.test_the_first_tiers_jobs_wait_a_tenth_of_what_they_wait_when_all_is_pushed, 8),
    ),
    "an adaptive limit holds free slots back": (
        instead(limits, "make_way", lambda state: iter(())),
        test_limits.test_a_limit_that_alone_keeps_a_slot_empty_is_raised_at_once,
    ),
    "fetching is measured behind others too": (
        instead(limits, "saw_start", _saw_any_start),
        test_limits.test_an_attempt_that_waited_behind_others_says_nothing_of_fetching,
    ),
    "no limit": (
        instead(backpressure, "in_flight", lambda cluster: 0),
        test_dispatching.test_no_more_are_dispatched_than_the_limit_allows_until_some_start,
    ),
    "the limiter forgets a lapsed lease": (
        limiter_forgets_a_lapsed_lease,
        test_dispatching.test_a_lapsed_lease_gives_its_places_back_to_the_limit,
    ),
    "no duplicate check on submissions": (
        instead(judge, "is_duplicate", lambda state, job: False),
        test_submissions.test_a_second_copy_changes_nothing_while_the_job_lives_and_after,
    ),
    "duplicates of ended jobs are not known": (
        instead(judge, "is_duplicate", lambda state, job: job in state.jobs),
        test_submissions.test_a_second_copy_changes_nothing_while_the_job_lives_and_after,
    ),
    "old copies run": (
        instead(judge, "is_too_old", lambda state, body: False),
        test_submissions.test_an_ended_id_is_remembered_for_the_age_allowed_then_forgotten_and_its_copies_never_run,
    ),
    "an older move of an alias counts": (
        instead(judge, "is_older_move", lambda state, body: False),
        test_submissions.test_a_late_older_move_of_an_alias_changes_nothing,
    ),
    "no attempt check on reports": (
        instead(reports, "report_is_current", open_at_all),
        test_attempts.test_a_report_of_another_dispatch_node_or_session_is_stale,
    ),
    "recalls are counted as failures": (
        instead(retries, "counts_as_failure", lambda attempt, reason: True),
        partial(test_attempts.test_what_a_node_gives_back_is_no_failure_and_keeps_its_place, "recalled"),
    ),
    "lost nodes are not counted": (
        instead(retries, "counts_as_failure", lambda attempt, reason: False),
        test_attempts.test_a_node_lost_under_a_started_attempt_counts_and_under_a_staged_one_does_not,
    ),
    "no quarantine": (
        instead(retries, "lost_alone", lambda state, job: ()),
        test_attempts.test_a_job_under_which_two_nodes_were_lost_alone_is_quarantined,
    ),
    "losses need not be alone": (
        instead(retries, "lost_alone", lambda state, job: tuple(sorted({loss.node for loss in job.losses}))),
        test_attempts.test_losses_together_with_others_of_the_cluster_are_no_fault_of_the_job,
    ),
    "leases lapse before all was read": (
        instead(plan, "lapses_are_due", lambda state, caught_up: True),
        test_nodes.test_no_lease_lapses_before_all_that_was_said_is_read,
    ),
    "lease time runs on through an outage": (
        lease_time_runs_on_through_an_outage,
        test_nodes.test_an_outage_of_ours_costs_no_attempt,
    ),
    "a kill order is sent once only": (
        instead(orders, "repeats", lambda state, attempt: False),
        test_orders.test_a_kill_is_sent_again_at_every_heartbeat_until_the_attempt_closes,
    ),
    "an order to run is sent once only": (
        instead(orders, "repeats", lambda state, attempt: False),
        test_orders.test_an_order_to_run_that_got_lost_is_sent_again_when_a_heartbeat_does_not_list_it,
    ),
    "what is not open runs on": (
        instead(orders, "kills_unknown", lambda dispatch, known: False),
        test_orders.test_what_a_node_holds_and_is_not_open_is_killed,
    ),
    "no fencing": (
        instead(chain, "follows", lambda head_hash, batch: True),
        test_chain.test_a_zombies_record_chains_on_an_earlier_one_and_changes_nothing,
    ),
    "records that chain on nothing are ignored": (
        instead(chain, "is_known", lambda known, prev_hash: True),
        test_chain.test_an_edited_a_removed_and_a_swapped_record_are_found,
    ),
    "a started attempt of a cancelled job is left alone": (
        lambda patch: patch.setitem(reports._REPORTS, Started, _start_and_nothing_more),
        test_endings.test_an_attempt_that_starts_while_it_is_recalled_is_killed,
    ),
    "a draining cluster gets work": (
        instead(backpressure, "takes_work", lambda cluster: len(cluster.staged) < cluster.limit),
        test_clusters.test_a_draining_cluster_gets_nothing_and_its_staged_attempts_are_recalled,
    ),
    "nothing is kept for a gang": (
        instead(gangs, "on_offer", lambda state, kind: []),
        test_gangs_without_end.test_a_gang_under_endless_small_jobs_goes_when_what_ran_on_its_slots_has_ended,
    ),
    "kept slots are anyone's": (
        instead(capacity, "_count_kept", lambda state, reservation, sign: None),
        test_reservations.test_nothing_new_is_put_on_kept_slots_and_the_gang_goes_when_they_are_free,
    ),
    "the slots that are free last are kept": (
        instead(reservations, "slot_times", lambda state, cluster, node: [-int(node.node[1:])] * node.slots),
        test_reservations.test_the_slots_that_are_expected_to_be_free_first_are_kept,
    ),
    "back-fill ignores when it would end": (
        instead(reservations, "may_back_fill", lambda state, job, reservation: True),
        test_gangs_without_end.test_a_gang_under_endless_small_jobs_goes_when_what_ran_on_its_slots_has_ended,
    ),
    "there is no back-fill": (
        instead(reservations, "may_back_fill", lambda state, job, reservation: False),
        test_reservations.test_back_fill_is_what_ends_in_time,
    ),
    "a member's slot is not freed": (
        a_member_is_forgotten,
        test_gangs.test_one_rank_that_fails_fails_the_attempt_everywhere_and_the_others_are_killed_at_once,
    ),
    "the ranks of a gang on a node count as one slot": (
        instead(NodeLoad, "ranks", lambda held: len(held)),
        test_gangs.test_a_gang_takes_a_slot_for_each_rank_and_one_place_in_the_limit,
    ),
    "the other members run on": (
        instead(orders, "_release", lambda due, state, attempt, closer: None),
        test_gangs.test_one_rank_that_fails_fails_the_attempt_everywhere_and_the_others_are_killed_at_once,
    ),
    "a killed gang is over when any of its nodes says so": (
        instead(reports, "_is_heard", lambda attempt, member, report: member in attempt.members),
        test_gangs.test_a_cancelled_gang_keeps_its_slots_until_the_node_of_rank_0_says_that_it_stopped,
    ),
}
