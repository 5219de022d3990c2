"""Broken variants: each takes one mechanism out of the real code, and the simulation must notice.

A variant is a function that gives the patches of one run: (object, attribute, replacement). State that a variant keeps
on the side lives in its closure, so that every run starts anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from contract import chain, inputs
from contract.batch import Batch
from scheduling import judge, plan
from scheduling.attempts import orders, reports, retries, withdrawals
from scheduling.evolve import seal
from scheduling.picking import gangs, reservations
from scheduling.state import access, avoidance, backpressure, capacity, cordons, ended_ids, lines
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt, ClusterState, Node, NodeLoad
from scheduling.state.pool import State
from streams.ledger.clock import PoolClock
from streams.ledger.outputs import Output, SendOrders
from streams.ledger.writer import LedgerWriter
from tests.simulation.run import Outcome, simulate
from tests.simulation.submitters import Api

Patches = list[tuple[Any, str, Any]]


def no_fencing() -> Patches:
    """Every record counts, whoever wrote it."""

    def judged(self: chain.Chain, offset: int, batch: Batch, record_hash: str) -> chain.Counted:
        self.head_hash, self.seq, self.epoch, self.offset = record_hash, batch.seq, batch.epoch, offset
        return chain.Counted(batch, record_hash)

    return [(chain.Chain, "_judge", judged)]


def no_prev_hash_check() -> Patches:
    """Fenced by seq and epoch alone, as many systems are: an edited ledger passes."""

    def judged(self: chain.Chain, offset: int, batch: Batch, record_hash: str) -> chain.Counted | chain.Ignored:
        opens = any(type(event).__name__ == "Opened" for event in batch.events)
        if batch.seq != self.seq + 1 or batch.epoch != self.epoch + opens:
            return chain.Ignored("its seq or epoch does not follow")
        self.head_hash, self.seq, self.epoch, self.offset = record_hash, batch.seq, batch.epoch, offset
        return chain.Counted(batch, record_hash)

    return [(chain.Chain, "_judge", judged)]


def snapshot_before_read_back() -> Patches:
    """A snapshot is taken of the state as it is, although the last batch may never count."""
    return [(LedgerWriter, "_may_snapshot", lambda self: True)]


def positions_outside_the_batch() -> Patches:
    """The place in `jobs` is remembered as Faust would do it: committed on its own when the record was taken."""
    committed = [0]
    receive = LedgerWriter.receive

    def received(self: LedgerWriter, given: inputs.Input, size_bytes: int) -> None:
        receive(self, given, size_bytes)
        committed[0] = max(committed[0], given.offset + 1)

    return [
        (LedgerWriter, "receive", received),
        (LedgerWriter, "_resume_position", lambda self: committed[0]),
    ]


def no_attempt_check() -> Patches:
    """A report counts for whatever attempt of its job is open."""

    def current(state: State, node: str, session: str, report: inputs.Report) -> bool:
        job = state.jobs.get(report.job)
        return job is not None and job.open is not None

    return [(reports, "report_is_current", current)]


def api_acks_early() -> Patches:
    """202 before the broker's ack; a record that was lost is not sent again."""

    def post(self: Api, submission: inputs.Submission, tries: int = 1) -> None:
        self.acknowledged.add(submission.job)
        self.send(submission, lambda outcome: None)

    return [(Api, "post", post)]


def carries_on_after_unclear() -> Patches:
    """An unclear delivery is taken for a success."""

    def unclear(self: LedgerWriter, reason: str) -> list[Output]:
        landed = self._own.land()
        seal(self.state, landed.hash, self.next_offset, landed.batch.position)
        return [SendOrders(landed.orders)] if landed.orders else []

    return [(LedgerWriter, "unclear", unclear)]


def no_duplicate_check() -> Patches:
    return [(judge, "is_duplicate", lambda state, job: False)]


def limiter_forgets_lapsed_leases() -> Patches:
    """In-flight is counted on the side, and the place of an attempt on a lost node is never given back."""
    forgotten: dict[str, int] = {}
    close_attempt = capacity.close_attempt

    def closed(state: State, attempt: Attempt) -> None:
        if not attempt.started and attempt.node not in state.nodes:
            forgotten[attempt.cluster] = forgotten.get(attempt.cluster, 0) + 1
        close_attempt(state, attempt)

    def in_flight(cluster: ClusterState) -> int:
        return len(cluster.staged) + forgotten.get(cluster.name, 0)

    return [(capacity, "close_attempt", closed), (backpressure, "in_flight", in_flight)]


def opened_not_read_back() -> Patches:
    """A newcomer decides as soon as the broker acknowledged its Opened."""
    return [(LedgerWriter, "_opened_needs_read_back", lambda self: False)]


def lease_time_runs_through_outages() -> Patches:
    """Lease time is all of the writer's monotonic time since its last batch."""

    def take_elapsed_ms(self: PoolClock, mono_ms: int) -> int:
        last, self._lease_mono_ms = self._lease_mono_ms, mono_ms
        return 0 if last is None else max(0, mono_ms - last)

    return [(PoolClock, "take_elapsed_ms", take_elapsed_ms)]


def kill_sent_once() -> Patches:
    """A kill order goes out with the batch that decided it, and never again."""
    owed = orders._owed

    def once(state: State, job: Job, attempt: Attempt, node: str) -> str:
        kind = owed(state, job, attempt, node)
        return "" if kind == "kill" else kind

    return [(orders, "_owed", once)]


def recalls_count_as_failures() -> Patches:
    counts = retries.counts_as_failure

    def counted(attempt: Attempt, reason: str) -> bool:
        return reason == "recalled" or counts(attempt, reason)

    return [(retries, "counts_as_failure", counted)]


def nothing_is_kept_for_gangs() -> Patches:
    """A gang's slots are anyone's while it gathers them."""
    return [(capacity, "_count_kept", lambda state, reservation, sign: None)]


def ranks_count_as_one_slot() -> Patches:
    return [(NodeLoad, "ranks", lambda held: len(held))]


def back_fill_without_end() -> Patches:
    """Whatever job comes first uses a kept slot, however long it runs."""
    return [(reservations, "may_back_fill", lambda state, job, reservation: True)]


def nodes_are_sent_more_than_they_hold() -> Patches:
    """Two halves have different limits: the scheduler stages more than a node holds (review 5.7)."""

    def holds(slots: int, said: int) -> int:
        return 1_000_000

    return [(capacity, "holds_of", holds), (reports, "holds_of", holds)]


def ids_are_forgotten_at_once() -> Patches:
    """An id is no longer known when its job has ended: a late copy of its submission is another life of it."""

    def forget(state: State) -> None:
        state.ended.clear()
        state.ended_runs.clear()

    return [(ended_ids, "forget", forget)]


def ids_are_never_forgotten() -> Patches:
    """An id that comes again long after is taken for a copy of the old job, and never runs."""
    return [(ended_ids, "forget", lambda state: None)]


def no_namesake_check() -> Patches:
    """Of two machines with one name the later one is always taken for the first one anew (case C6)."""
    return [(reports, "is_namesake", lambda node, body: False)]


def lost_slots_are_used() -> Patches:
    """The scheduler counts the slots with which a node joined, whatever can be used of them."""
    return [(capacity, "change_slots", lambda state, node, usable: None)]


def nodes_that_hold_off_get_work() -> Patches:
    return [(Node, "takes_new", lambda node: not node.draining)]


def failures_on_cordoned_nodes_count() -> Patches:
    return [(reports, "failure_counts", lambda state, job, node: True)]


def jobs_go_back_to_where_they_failed() -> Patches:
    """A retry may go to the node that failed it while others could run it (case C5)."""
    return [
        (avoidance, "must_stand_aside", lambda state, job: False),
        (avoidance, "banned", lambda state, job, group: 0),
    ]


def failures_alone_accuse() -> Patches:
    """Whoever failed somewhere and ended anywhere accuses the node, though jobs succeeded there in between."""
    saw_success = cordons.saw_success

    def seen(state: State, job: Job, attempt: Attempt) -> None:
        before = dict(state.suspects)
        saw_success(state, job, attempt)
        for node in before.keys() - state.suspects.keys():
            state.suspects[node] = before[node]

    return [(cordons, "saw_success", seen)]


def nobody_is_cordoned() -> Patches:
    return [(cordons, "saw_success", lambda state, job, attempt: None)]


def any_number_of_nodes_is_cordoned() -> Patches:
    return [(plan, "may_cordon", lambda state, cluster: True)]


def cordoned_nodes_are_tried_without_rest() -> Patches:
    return [(cordons, "rest_ms", lambda state, tries: 0)]


def a_success_lifts_no_cordon() -> Patches:
    return [(reports, "FAILURES", "never")]


def gangs_avoid_nothing() -> Patches:
    return [(gangs, "avoided", lambda job: frozenset())]


def gangs_wait_for_cordoned_nodes() -> Patches:
    """A gang that fits nowhere without a cordoned node waits for ever."""
    return [(gangs, "needed", lambda state: [])]


def a_digest_alone_is_an_empty_list() -> Patches:
    return [(reports, "lists_cached", lambda body: True)]


def deadlines_by_our_clock() -> Patches:
    """A deadline asked for counts from when the batch is decided, not from the broker's append."""

    def deadline(record: inputs.Input, body: inputs.Submission) -> int:
        return record.at_ms + 1 + body.expires_in_ms if body.expires_in_ms else body.expires_ms

    return [(judge, "_deadline", deadline)]


def heartbeats_alone_show_a_deaf_node() -> Patches:
    """Heartbeats that come at once after an outage of ours count as many, though no time passed."""

    def deaf(state: State, node: Node, attempt: Attempt) -> bool:
        return node.unlisted.get(attempt.dispatch, (0, 0))[0] >= reports.DEAF_HEARTBEATS

    return [(reports, "is_deaf_to", deaf)]


def held_pools_keep_what_is_staged() -> Patches:
    return [(plan, "_hold", lambda state: iter(()))]


def deaf_nodes_keep_their_orders() -> Patches:
    """A node that speaks and does not hear holds what it was sent for ever (review 5.10)."""
    return [(reports, "is_deaf_to", lambda state, node, attempt: False)]


def held_pools_start_jobs() -> Patches:
    return [(plan, "starts_jobs", lambda state: True)]


def withdrawn_versions_are_dispatched() -> Patches:
    return [(lines, "is_shelved", lambda state, job: False), (lines, "shelve", lambda state, version: None)]


def digests_are_repinned() -> Patches:
    """Who named a digest gets what `live` has now: another version than the one asked for."""
    target = withdrawals.target
    return [(withdrawals, "target", lambda state, version, alias: target(state, version, alias or "live"))]


def nobody_is_repinned() -> Patches:
    return [(withdrawals, "target", lambda state, version, alias: "")]


def withdrawn_versions_are_accepted() -> Patches:
    return [(judge, "is_withdrawn", lambda state, version: False)]


def revoked_signers_are_heard() -> Patches:
    """Whoever has a key is heard, whatever the policy says."""
    return [(access, "is_revoked", lambda state, signer: False)]


def revoked_nodes_stay() -> Patches:
    """A revoked node is not heard, and keeps what it holds until its lease lapses."""
    return [(access, "revoked_nodes", lambda state: iter(()))]


def nobody_needs_a_token() -> Patches:
    return [(access, "needs_token", lambda state, record, body: False)]


def models_are_always_trusted() -> Patches:
    return [(access, "trusts_models", lambda state: True)]


def nodes_without_layers_stay() -> Patches:
    """A policy that trusts models no longer counts only for nodes that join after it."""
    return [(access, "unconfined_nodes", lambda state: iter(()))]


def trials_change_access() -> Patches:
    return [(access, "differs", lambda one, other: "")]


def old_policies_change_access() -> Patches:
    return [(access, "may_change_access", lambda record, body: True)]


def gangs_meet_anywhere() -> Patches:
    return [(access, "address_of", lambda state, said: said)]


def nobody_is_named() -> Patches:
    """Events name no actor where the signer speaks for somebody."""
    return [(inputs, "actor_of", lambda record: record.signer)]


VARIANTS: dict[str, Callable[[], Patches]] = {
    variant.__name__: variant
    for variant in (
        no_fencing,
        no_prev_hash_check,
        snapshot_before_read_back,
        positions_outside_the_batch,
        no_attempt_check,
        api_acks_early,
        carries_on_after_unclear,
        no_duplicate_check,
        limiter_forgets_lapsed_leases,
        opened_not_read_back,
        lease_time_runs_through_outages,
        kill_sent_once,
        recalls_count_as_failures,
        nothing_is_kept_for_gangs,
        ranks_count_as_one_slot,
        back_fill_without_end,
        nodes_are_sent_more_than_they_hold,
        ids_are_forgotten_at_once,
        ids_are_never_forgotten,
        no_namesake_check,
        lost_slots_are_used,
        nodes_that_hold_off_get_work,
        failures_on_cordoned_nodes_count,
        jobs_go_back_to_where_they_failed,
        failures_alone_accuse,
        nobody_is_cordoned,
        any_number_of_nodes_is_cordoned,
        cordoned_nodes_are_tried_without_rest,
        a_success_lifts_no_cordon,
        gangs_avoid_nothing,
        gangs_wait_for_cordoned_nodes,
        a_digest_alone_is_an_empty_list,
        deadlines_by_our_clock,
        deaf_nodes_keep_their_orders,
        heartbeats_alone_show_a_deaf_node,
        held_pools_start_jobs,
        held_pools_keep_what_is_staged,
        withdrawn_versions_are_dispatched,
        digests_are_repinned,
        nobody_is_repinned,
        withdrawn_versions_are_accepted,
        revoked_signers_are_heard,
        revoked_nodes_stay,
        nobody_needs_a_token,
        models_are_always_trusted,
        nodes_without_layers_stay,
        trials_change_access,
        old_policies_change_access,
        gangs_meet_anywhere,
        nobody_is_named,
    )
}


@contextmanager
def broken(variant: Callable[[], Patches]) -> Iterator[None]:
    with ExitStack() as stack:
        for target, name, replacement in variant():
            stack.enter_context(patch.object(target, name, replacement))
        yield


CAUGHT_BY = {
    "snapshot_before_read_back": 140,
    "no_attempt_check": 7,
    "carries_on_after_unclear": 2,
    "limiter_forgets_lapsed_leases": 4,
    "kill_sent_once": 230,
    "nodes_that_hold_off_get_work": 2,
    "failures_on_cordoned_nodes_count": 13,
    "failures_alone_accuse": 4,
    "nobody_is_cordoned": 34,
    "any_number_of_nodes_is_cordoned": 694,
    "cordoned_nodes_are_tried_without_rest": 196,
    "a_success_lifts_no_cordon": 34,
    "gangs_wait_for_cordoned_nodes": 106,
    "a_digest_alone_is_an_empty_list": 5,
    "deaf_nodes_keep_their_orders": 6,
    "heartbeats_alone_show_a_deaf_node": 6,
    "held_pools_start_jobs": 6,
    "held_pools_keep_what_is_staged": 6,
    "withdrawn_versions_are_dispatched": 6,
    "digests_are_repinned": 18,
    "nobody_is_repinned": 6,
    "nobody_needs_a_token": 4,
    "gangs_meet_anywhere": 8,
    "nobody_is_named": 3,
}
"""Of variants that the first seeds do not catch, the seed that did. It is tried before all others; when it no longer
catches the variant, that costs time and nothing else."""


def first_catch(variant: Callable[[], Patches], seeds: int, hint: int) -> Outcome | None:
    """The outcome of a seed that catches the variant; None when none of so many seeds does. `hint` is tried first."""
    for seed in (hint, *range(seeds)):
        with broken(variant):
            outcome = simulate(seed)
        if outcome.failure:
            return outcome
    return None
