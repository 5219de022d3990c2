"""Broken variants of the rules of access and of actors. As in `mutants`, each takes one mechanism out, and the test
that promises the mechanism must fail. The seams are those of `scheduling.state.access`, and the places that ask them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from contract import events as said
from contract import inputs
from scheduling import evolve, judge, plan
from scheduling.attempts import orders, reports, retries
from scheduling.picking import reservations
from scheduling.state import access, node_events
from tests.unit.scheduling import test_access, test_actors, test_joining
from tests.unit.scheduling.specification import START_MS

Break = Callable[[pytest.MonkeyPatch], None]


def instead(module: Any, name: str, broken: Any) -> Break:
    return lambda patch: patch.setattr(module, name, broken)


def what_a_revoked_node_says_still_counts(patch: pytest.MonkeyPatch) -> None:
    """Only operators are revoked for what they say; nodes are put out all the same."""
    original = access.speaker_of

    def speaker_of(state: Any, record: Any) -> str:
        signer = original(state, record)
        return "" if signer.startswith("node.") else signer

    patch.setattr(access, "speaker_of", speaker_of)


def a_revoked_node_counts_as_failed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retries, "NODE_GONE", (*retries.NODE_GONE, "revoked"))


def a_job_of_a_revoked_node_rests(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retries, "ASKED_FOR", tuple(reason for reason in retries.ASKED_FOR if reason != "revoked"))


def identities_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = node_events._node_gone

    def node_gone(state: Any, node: Any) -> None:
        original(state, node)
        state.past[node.node] = msgspec.structs.replace(state.past[node.node], identity="")

    patch.setattr(node_events, "_node_gone", node_gone)


def a_join_without_its_token_ends_the_session_before(patch: pytest.MonkeyPatch) -> None:
    """The token is asked for last, after the session that is alive was closed."""
    needs, refusal = access.needs_token, reports._refusal
    patch.setattr(access, "needs_token", lambda state, record, body: False)
    unsigned = inputs.Input(0, 1, inputs.NodeLeft("", ""))
    patch.setattr(
        reports,
        "_refusal",
        lambda state, body: refusal(state, body) or ("no_token" if needs(state, unsigned, body) else ""),
    )


def any_token_will_do(patch: pytest.MonkeyPatch) -> None:
    original = access.needs_token
    patch.setattr(
        access,
        "needs_token",
        lambda state, record, body: not record.token_until_ms and original(state, record, body),
    )


def an_identity_alone_will_do(patch: pytest.MonkeyPatch) -> None:
    original = access.needs_token

    def needs_token(state: Any, record: Any, body: Any) -> bool:
        known = state.nodes.get(body.node) or state.past.get(body.node)
        return original(state, record, body) and (known is None or known.identity != body.identity)

    patch.setattr(access, "needs_token", needs_token)


def layers_are_not_remembered(patch: pytest.MonkeyPatch) -> None:
    original = node_events.node_admitted
    patch.setitem(
        evolve._CHANGES,
        said.NodeAdmitted,
        lambda state, event: original(state, msgspec.structs.replace(event, layers_missing=())),
    )


def _drained_and_nothing_more(state: Any, node: Any) -> Any:
    yield said.NodeDrained(node=node.node, session=node.session, reason="not_confined")


def reasons_of_drains_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = node_events.node_drained
    patch.setitem(
        evolve._CHANGES,
        said.NodeDrained,
        lambda state, event: original(state, msgspec.structs.replace(event, reason="")),
    )


PUT_OUT = test_access.test_a_revoked_node_is_put_out_at_once_and_its_jobs_go_elsewhere_and_count_no_failure
SAYS_NOTHING = test_access.test_nothing_that_a_revoked_node_says_changes_anything_and_it_is_told_to_stay_out
NO_LONGER_TRUSTED = test_joining.test_when_models_are_trusted_no_longer_nothing_new_begins_and_what_runs_may_finish

MUTANTS: dict[str, tuple[Break, Callable[[], None]]] = {
    # revoked signers
    "nobody is revoked": (instead(access, "is_revoked", lambda state, signer: False), SAYS_NOTHING),
    "what a revoked node says still counts": (what_a_revoked_node_says_still_counts, SAYS_NOTHING),
    "what a revoked operator asks is done": (
        instead(judge, "_revoked", lambda state, record, body: judge._JUDGEMENTS[type(body)](state, record, body)),
        partial(test_access.test_what_a_revoked_operator_asks_is_not_done_and_kept_to_be_looked_at, test_access.HOLD),
    ),
    "a revoked node stays": (instead(access, "revoked_nodes", lambda state: iter(())), PUT_OUT),
    "nodes are put out by their name alone": (
        instead(
            access,
            "revoked_nodes",
            lambda state: [
                n for n in state.nodes.values() if any(s.endswith(f"/{n.node}") for s in state.policy.revoked)
            ],
        ),
        test_access.test_a_node_of_that_name_in_another_cluster_goes_on,
    ),
    "a revocation counts as a failure": (a_revoked_node_counts_as_failed, PUT_OUT),
    "a job whose node was put out rests": (a_job_of_a_revoked_node_rests, PUT_OUT),
    "where nobody signs, nobody is revoked": (
        instead(access, "speaker_of", lambda state, record: record.signer),
        test_access.test_where_nobody_signs_a_revoked_node_is_not_admitted_and_put_out_for_ever,
    ),
    "a policy on trial takes a revocation back": (
        instead(access, "differs", lambda one, other: ""),
        partial(test_access.test_a_policy_on_trial_leaves_the_rules_of_access_as_they_are, "revoked"),
    ),
    "an old policy gives back what was taken": (
        instead(access, "may_change_access", lambda record, body: True),
        partial(test_access.test_a_policy_that_was_signed_long_ago_gives_nobody_back_what_was_taken_from_them, 0),
    ),
    "a policy may be made long before": (
        instead(access, "may_change_access", lambda record, body: not record.signer or record.at_ms <= body.until_ms),
        partial(
            test_access.test_a_policy_that_was_signed_long_ago_gives_nobody_back_what_was_taken_from_them,
            START_MS + 24 * 3_600_000 + 1,
        ),
    ),
    # tokens
    "nobody needs a token": (
        instead(access, "needs_token", lambda state, record, body: False),
        test_joining.test_a_machine_that_is_new_needs_a_token_that_has_not_ended,
    ),
    "a token that has ended will do": (
        any_token_will_do,
        test_joining.test_a_machine_that_is_new_needs_a_token_that_has_not_ended,
    ),
    "everybody needs a token each time": (
        instead(
            access,
            "needs_token",
            lambda state, record, body: state.policy.join_tokens and record.token_until_ms < record.at_ms,
        ),
        test_joining.test_the_same_machine_comes_back_without,
    ),
    "who has left is forgotten": (identities_are_forgotten, test_joining.test_the_same_machine_comes_back_without),
    "a machine that says nothing is known": (
        instead(access, "needs_token", lambda state, record, body: not state.nodes and body.node not in state.past),
        test_joining.test_a_node_of_old_without_identity_needs_one_each_time,
    ),
    "a token is for a name, whatever the cluster": (
        an_identity_alone_will_do,
        partial(test_joining.test_another_machine_needs_one_and_without_it_changes_nothing, test_joining.MOVED),
    ),
    "a join without its token ends the session before": (
        a_join_without_its_token_ends_the_session_before,
        partial(test_joining.test_another_machine_needs_one_and_without_it_changes_nothing, test_joining.MOVED),
    ),
    "a node in the wrong pool is asked for a token first": (
        instead(reports, "limit_of", lambda state, cluster: 1),
        test_joining.test_a_node_in_the_wrong_pool_hears_that_first,
    ),
    # layers
    "models are always trusted": (
        instead(access, "trusts_models", lambda state: True),
        test_joining.test_a_node_without_all_layers_joins_where_models_are_trusted_only,
    ),
    "who is here may stay": (instead(access, "unconfined_nodes", lambda state: iter(())), NO_LONGER_TRUSTED),
    "layers are not remembered": (layers_are_not_remembered, NO_LONGER_TRUSTED),
    "what is staged there begins": (instead(plan, "_drain_unconfined", _drained_and_nothing_more), NO_LONGER_TRUSTED),
    "who drained for layers never joins anew": (reasons_of_drains_are_forgotten, NO_LONGER_TRUSTED),
    "who drains for layers is not told": (instead(orders, "DEAF", "not_confined"), NO_LONGER_TRUSTED),
    # words and networks
    "a revoked node gets orders of old": (
        instead(access, "is_put_out", lambda state, node: False),
        test_access.test_while_a_full_batch_keeps_a_revoked_node_it_gets_no_words,
    ),
    "gangs may meet anywhere": (
        instead(access, "address_of", lambda state, said: said),
        test_access.test_without_a_network_for_gangs_none_lies_on_several_nodes,
    ),
    "a policy counts for who joins after it": (
        instead(evolve, "access", SimpleNamespace(address_of=lambda state, said: said)),
        test_access.test_a_network_for_gangs_comes_and_goes_with_the_policy,
    ),
    "slots are kept for a gang that cannot meet": (
        instead(reservations, "_can_meet", lambda state, reservation: True),
        test_access.test_slots_that_are_kept_on_several_nodes_are_given_back_when_gangs_have_no_network,
    ),
    # actors
    "for whom a signer speaks is forgotten": (
        instead(inputs, "actor_of", lambda record: record.signer),
        partial(test_actors.test_what_somebody_asked_for_names_them, "alias"),
    ),
    "nobody is named": (
        instead(inputs, "actor_of", lambda record: ""),
        partial(test_actors.test_what_somebody_asked_for_names_them, "hold"),
    ),
}
