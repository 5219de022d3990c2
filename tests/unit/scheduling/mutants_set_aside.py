"""Broken variants of what sets machines aside: slots, names, avoided nodes, cordons, deaf nodes and holds; of the one
clock for deadlines; and of the offset from which records are signed. As in `mutants`, each takes one mechanism out, and
the test that promises the mechanism must fail. The seams are those that the modules of `scheduling` name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from contract import events as said
from scheduling import evolve, judge, plan
from scheduling.attempts import orders, reports
from scheduling.picking import gangs
from scheduling.state import avoidance, backpressure, capacity, cordons, node_events
from scheduling.state.nodes import Node
from tests.unit.scheduling import (
    test_avoidance,
    test_cordons,
    test_deaf_nodes,
    test_endings,
    test_heartbeats,
    test_holds,
    test_node_names,
    test_opening,
)

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


def a_retry_goes_anywhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(avoidance, "must_stand_aside", lambda state, job: False)
    patch.setattr(avoidance, "banned", lambda state, job, group: 0)


def a_case_is_never_closed(patch: pytest.MonkeyPatch) -> None:
    original = cordons.saw_success

    def saw_success(state: Any, job: Any, attempt: Any) -> None:
        before = dict(state.suspects)
        original(state, job, attempt)
        for node in before.keys() - state.suspects.keys():
            state.suspects[node] = before[node]

    patch.setattr(cordons, "saw_success", saw_success)


def losses_accuse(patch: pytest.MonkeyPatch) -> None:
    original = cordons.saw_failure
    patch.setattr(
        cordons,
        "saw_failure",
        lambda state, job, attempt, node, *, accuses: original(state, job, attempt, node, accuses=True),
    )


def _cordon_and_nothing_more(state: Any, node: Any, suspect: Any) -> Any:
    yield said.NodeCordoned(node=node.node, cluster=node.cluster, reason="failures", jobs=suspect.jobs)


def _end_of_session_ends_cordon(state: Any, event: Any) -> None:
    state.suspects.pop(event.node, None)


def an_operators_cordon_is_tried(patch: pytest.MonkeyPatch) -> None:
    original = cordons.cordon

    def cordon(state: Any, node: str, cluster: str, reason: str, jobs: tuple[str, ...]) -> None:
        original(state, node, cluster, "failures", jobs)

    patch.setattr(cordons, "cordon", cordon)


def what_was_listed_meanwhile_is_overdue_all_the_same(patch: pytest.MonkeyPatch) -> None:
    original = node_events.node_heard

    def node_heard(state: Any, event: Any) -> None:
        before = dict(state.nodes[event.node].unlisted)
        original(state, event)
        state.nodes[event.node].unlisted = {**before, **state.nodes[event.node].unlisted}

    patch.setitem(evolve._CHANGES, said.NodeHeard, node_heard)


def enough_heartbeats_are_enough(state: Any, node: Any, attempt: Any) -> bool:
    return bool(node.unlisted.get(attempt.dispatch, (0, 0))[0] >= reports.DEAF_HEARTBEATS)


def a_lease_is_enough(state: Any, node: Any, attempt: Any) -> bool:
    times, since_ms = node.unlisted.get(attempt.dispatch, (0, 0))
    return bool(times and state.lease_ms - since_ms >= state.policy.node_lease_ms)


def deaf_nodes_never_rejoin(patch: pytest.MonkeyPatch) -> None:
    original = node_events.node_drained

    def node_drained(state: Any, event: Any) -> None:
        original(state, msgspec.structs.replace(event, reason=""))

    patch.setitem(evolve._CHANGES, said.NodeDrained, node_drained)


def _deadline_by_our_clock(record: Any, body: Any) -> Any:
    return body.submitted_ms + body.expires_in_ms if body.expires_in_ms else body.expires_ms


MUTANTS: dict[str, tuple[Break, Callable[[], None]]] = {
    # avoided nodes
    "a retry goes back to where the job failed": (
        a_retry_goes_anywhere,
        test_avoidance.test_a_retry_waits_for_another_node_and_the_next_job_takes_the_free_one,
    ),
    "a job waits for another node where there is none": (
        instead(avoidance, "is_in_force", lambda state, job: bool(job.avoid)),
        test_avoidance.test_it_goes_back_where_no_other_node_could_run_it,
    ),
    "a node that holds off is no other node": (
        instead(
            avoidance,
            "is_in_force",
            lambda state, job: (
                bool(job.avoid)
                and any(backpressure.room(g) & ~avoidance.banned(state, job, g) for g in state.groups.values())
            ),
        ),
        test_avoidance.test_a_node_that_holds_off_for_now_is_worth_waiting_for,
    ),
    "a gang avoids nothing": (
        instead(gangs, "avoided", lambda job: frozenset()),
        test_avoidance.test_a_gang_goes_where_none_of_its_nodes_failed_it,
    ),
    "a job avoids every node on which it ever failed": (
        instead(cordons, "AVOIDED_MAX", 99),
        test_avoidance.test_a_job_remembers_four_nodes_and_no_staged_attempt_is_passed_about,
    ),
    # cordons
    "nobody is cordoned": (
        instead(cordons, "saw_success", lambda state, job, attempt: None),
        test_cordons.test_three_jobs_that_failed_there_and_succeeded_elsewhere_cordon_a_node,
    ),
    "two jobs suffice to cordon a node": (
        instead(cordons, "ACCUSERS", 2),
        test_cordons.test_three_jobs_that_failed_there_and_succeeded_elsewhere_cordon_a_node,
    ),
    "failures alone accuse": (
        a_case_is_never_closed,
        test_cordons.test_a_success_in_between_closes_the_case,
    ),
    "a lost node is accused": (losses_accuse, test_cordons.test_a_node_that_was_lost_under_jobs_is_not_accused),
    "any number of nodes is cordoned": (
        instead(plan, "may_cordon", lambda state, cluster: True),
        test_cordons.test_no_more_than_a_quarter_of_a_cluster_is_cordoned,
    ),
    "what is staged on a cordoned node stays there": (
        instead(plan, "_cordon", _cordon_and_nothing_more),
        test_cordons.test_what_is_staged_there_is_called_back_and_what_runs_there_goes_on,
    ),
    "a cordoned node is tried again without rest": (
        instead(cordons, "rest_ms", lambda state, tries: 0),
        test_cordons.test_a_cordoned_node_gets_one_job_at_a_time_after_a_rest,
    ),
    "each rest is as long as the first": (
        instead(cordons, "rest_ms", lambda state, tries: state.policy.node_lease_ms),
        test_cordons.test_a_try_that_fails_is_held_against_nobody_and_the_next_one_comes_later,
    ),
    "failures on a cordoned node count": (
        instead(reports, "failure_counts", lambda state, job, node: True),
        test_cordons.test_a_try_that_fails_is_held_against_nobody_and_the_next_one_comes_later,
    ),
    "failures on cordoned nodes never count": (
        instead(reports, "failure_counts", lambda state, job, node: not capacity.is_cordoned(state, node)),
        test_cordons.test_a_job_that_fails_on_the_same_cordoned_node_again_pays_for_it,
    ),
    "a success lifts no cordon": (
        instead(reports, "FAILURES", "never"),
        test_cordons.test_a_success_lifts_the_cordon,
    ),
    "a cordon ends with the session": (
        event_is_followed_by(said.NodeDeparted, _end_of_session_ends_cordon),
        test_cordons.test_a_cordon_outlives_the_session_and_the_snapshot,
    ),
    "an operator's cordon is tried": (
        an_operators_cordon_is_tried,
        test_cordons.test_an_operator_cordons_and_nobody_tries_the_node_until_an_operator_lifts_it,
    ),
    "a gang waits for cordoned nodes for ever": (
        instead(gangs, "needed", lambda state: []),
        test_cordons.test_a_gang_that_fits_nowhere_else_lifts_the_cordons,
    ),
    # deaf nodes
    "an order is repeated for ever": (
        instead(reports, "is_deaf_to", lambda state, node, attempt: False),
        test_deaf_nodes.test_what_is_not_listed_for_a_lease_is_given_up_and_the_node_drains,
    ),
    "heartbeats alone show a deaf node": (
        instead(reports, "is_deaf_to", enough_heartbeats_are_enough),
        test_deaf_nodes.test_heartbeats_that_come_at_once_after_an_outage_of_ours_accuse_nobody,
    ),
    "a lease alone shows a deaf node": (
        instead(reports, "is_deaf_to", a_lease_is_enough),
        test_deaf_nodes.test_two_heartbeats_a_lease_apart_accuse_nobody,
    ),
    "what was listed in between is overdue all the same": (
        what_was_listed_meanwhile_is_overdue_all_the_same,
        test_deaf_nodes.test_one_heartbeat_that_lists_it_begins_the_time_anew,
    ),
    "a deaf node never joins anew": (
        deaf_nodes_never_rejoin,
        test_deaf_nodes.test_it_rejoins_once_it_holds_nothing_and_hears_again,
    ),
    # holds
    "a pool on hold starts jobs": (
        instead(plan, "starts_jobs", lambda state: True),
        test_holds.test_it_accepts_and_starts_nothing_and_what_runs_goes_on,
    ),
    "a pool on hold keeps what is staged": (
        instead(plan, "_hold", lambda state: iter(())),
        test_holds.test_it_accepts_and_starts_nothing_and_what_runs_goes_on,
    ),
    # slots
    "lost slots are used": (
        instead(capacity, "change_slots", lambda state, node, usable: None),
        test_heartbeats.test_a_slot_that_cannot_be_used_gets_nothing,
    ),
    "a node that holds off gets work": (
        instead(Node, "takes_new", lambda node: not node.draining),
        partial(test_heartbeats.test_a_node_that_holds_off_gets_nothing_new_and_keeps_what_it_has, "disk"),
    ),
    # names
    "of two machines with one name the later one is taken": (
        instead(reports, "is_namesake", lambda node, body: False),
        test_node_names.test_a_namesake_is_refused_and_told_and_nothing_of_the_first_node_changes,
    ),
    "a namesake is not told": (
        instead(orders, "_refuse", lambda due, state, event, inputs: None),
        test_node_names.test_a_namesake_is_refused_and_told_and_nothing_of_the_first_node_changes,
    ),
    # lists of cached versions
    "nobody asks for a list": (
        instead(orders, "tells_otherwise", lambda digest, cached: False),
        test_heartbeats.test_another_digest_without_a_list_is_answered_by_tell,
    ),
    "a digest alone is an empty list": (
        instead(reports, "lists_cached", lambda body: True),
        test_heartbeats.test_a_digest_that_is_the_states_says_that_nothing_changed,
    ),
    # one clock
    "a deadline asked for is ignored": (
        instead(judge, "_deadline", lambda record, body: body.expires_ms),
        test_endings.test_a_deadline_asked_for_in_ms_counts_from_the_append_and_from_no_clock_of_ours,
    ),
    "a deadline asked for counts from the sender's clock": (
        instead(judge, "_deadline", _deadline_by_our_clock),
        test_endings.test_a_deadline_asked_for_in_ms_counts_from_the_append_and_from_no_clock_of_ours,
    ),
    # signatures
    "a newcomer asks for signatures from elsewhere": (
        event_is_followed_by(said.Opened, lambda state, event: setattr(state, "signed_from", -1)),
        test_opening.test_what_had_to_be_signed_once_has_to_be_signed_for_ever,
    ),
    "a scheduler that knows no signatures ends them": (
        event_is_followed_by(said.Opened, lambda state, event: setattr(state, "signed_from", event.signed_from)),
        test_opening.test_what_had_to_be_signed_once_has_to_be_signed_for_ever,
    ),
}
