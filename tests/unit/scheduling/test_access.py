"""Whom the policy in force lets do what: revoked signers, policies that change access, networks of gangs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract import inputs
from contract.events import (
    AttemptClosed,
    GangReleased,
    GangReserved,
    InputQuarantined,
    JobDispatched,
    JobRequeued,
    NodeAdmitted,
    NodeDeparted,
    NodeHeard,
    NodeRefused,
    PolicyAdopted,
    PoolHeld,
    ReportStale,
)
from contract.inputs import HoldRequested, NodeHeartbeat, NodeLeft, NodeReport, PolicyApplied, Started
from contract.orders import Kill, Refuse, Rejoin, Run
from contract.policy import ACCESS, Policy, fingerprint
from contract.signers import node_signer
from scheduling import decide, judge
from scheduling.attempts import orders
from tests.unit.scheduling.policed import (
    ADA,
    BOB,
    GANG,
    JOB,
    MINE,
    N1,
    N2,
    applied,
    running,
    saying,
)
from tests.unit.scheduling.specification import (
    POLICY,
    START_MS,
    Pool,
    a_job,
    names,
    only,
    submission,
)

# Revoked nodes


def test_a_revoked_node_is_put_out_at_once_and_its_jobs_go_elsewhere_and_count_no_failure() -> None:
    pool = running()
    dispatch = pool.dispatch(JOB)
    pool.signer = ADA
    assert names(pool.tell(applied(revoked=(N1,)))) == [
        "PolicyAdopted",
        "AttemptClosed",
        "JobRequeued",
        "NodeDeparted",
        "JobDispatched",
    ]
    assert only(pool.events, AttemptClosed) == [AttemptClosed(JOB, dispatch, "revoked", counts=False)]
    assert only(pool.events, JobRequeued) == [JobRequeued(JOB, 0)], "and does not rest"
    assert (pool.attempt(JOB).node, pool.job(JOB).failures) == ("n2", 0)


def test_nothing_that_a_revoked_node_says_changes_anything_and_it_is_told_to_stay_out() -> None:
    pool = running()
    dispatch = pool.dispatch(JOB)
    pool.tell(applied(revoked=(N1,)))
    pool.signer = N1
    heartbeat = NodeHeartbeat("n1", "s1", (dispatch,))
    for said in (heartbeat, NodeLeft("n1", "s1"), NodeReport("n1", "s1", (Started(JOB, dispatch),))):
        assert pool.tell(said) == [ReportStale(type(said).__name__)]
    pool.tell(heartbeat)
    assert pool.orders() == [Rejoin("n1", "s1", "main", 1)], "an agent of ours stops everything and joins"
    assert pool.join("n1", session="s2", identity=MINE) == [NodeRefused("n1", "s2", "revoked")]
    refuse = Refuse("n1", "s2", "main", 1, "revoked")
    assert pool.orders() == [refuse]
    assert orders.clusters_for(pool.state, refuse) == ("east", "west")


def test_first_in_log_order_wins() -> None:
    pool = running()
    dispatch = pool.dispatch(JOB)
    before, after = pool._input(NodeHeartbeat("n1", "s1", (dispatch,))), pool._input(NodeHeartbeat("n1", "s1"))
    pool.signer = ADA
    policy = msgspec.structs.replace(pool._input(applied(revoked=(N1,))), offset=after.offset)
    after = msgspec.structs.replace(after, offset=policy.offset + 1)
    events = pool._batch([before, policy, after], 0, True).events
    assert only(events, NodeHeard) == [NodeHeard("n1", "s1")]
    assert only(events, ReportStale) == [ReportStale("NodeHeartbeat")]


def test_a_node_of_that_name_in_another_cluster_goes_on() -> None:
    pool = running()
    pool.signer = ADA
    assert names(pool.tell(applied(revoked=(node_signer("west", "n1"),)))) == ["PolicyAdopted"]
    pool.signer = N1
    assert only(pool.beat("n1"), NodeHeard)
    pool.signer = node_signer("west", "n1")
    assert pool.join("n1", "west", session="s2") == [NodeRefused("n1", "s2", "revoked")]


def test_where_nobody_signs_a_revoked_node_is_not_admitted_and_put_out_for_ever() -> None:
    pool = running(signer="")
    assert only(pool.tell(applied(revoked=(N1,))), NodeDeparted)
    assert pool.join("n1", session="s2", identity=MINE) == [NodeRefused("n1", "s2", "revoked")]
    assert only(pool.join("n1", "west", session="s3", identity=MINE), NodeAdmitted), "this is another signer"
    assert only(pool.beat("n1", "s3"), NodeHeard)


def test_the_other_nodes_of_a_gang_stop_their_ranks() -> None:
    pool = Pool()
    pool.publish("gang", GANG)
    for pool.signer, node in ((N1, "n1"), (N2, "n2")):
        pool.join(node, address=f"{node}:29500")
    pool.tell(submission(1, model="gang"))
    dispatch = pool.dispatch(JOB)
    pool.signer = ADA
    pool.tell(applied(revoked=(N2,)))
    assert only(pool.events, AttemptClosed) == [AttemptClosed(JOB, dispatch, "revoked", counts=False, node="n2")]
    assert pool.orders() == [Kill("n1", "s1", "main", 1, JOB, dispatch)]


def test_while_a_full_batch_keeps_a_revoked_node_it_gets_no_words() -> None:
    pool = running()
    pool.tell(submission(2), submission(3))
    staged = pool.attempt(a_job(3))
    assert (staged.node, staged.started) == ("n1", False)
    pool.tick(6_000)
    assert [order for order in orders.standing_orders(pool.state) if order.node == "n1"], "a newcomer sends it again"
    n1 = pool.state.nodes["n1"]
    heartbeat = pool._input(NodeHeartbeat("n1", "s1", (pool.dispatch(JOB),), (), n1.loaded, n1.cached))
    pool.signer = ADA
    policy = pool._input(applied(revoked=(N1,)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decide, "BATCH_EVENTS_MAX", 2)
        decision = pool._batch([heartbeat, policy], 0, True)
    assert (names(decision.events), decision.is_full) == (["NodeHeard", "PolicyAdopted"], True)
    assert "n1" in pool.state.nodes
    said = orders.orders_for(pool.state, [heartbeat, policy], decision.events) + orders.standing_orders(pool.state)
    assert not [order for order in said if order.node == "n1"]
    assert only(pool._batch([], 0, True).events, NodeDeparted), "no dispatch comes before"


def test_a_node_that_is_revoked_no_longer_joins_as_before() -> None:
    pool = running()
    pool.signer = ADA
    pool.tell(applied(revoked=(N1,), join_tokens=True))
    pool.tell(applied(join_tokens=True))
    pool.signer = N1
    assert only(pool.join("n1", session="s2", identity=MINE), NodeAdmitted)


# Revoked operators

HOLD = HoldRequested()
ASKED = (
    HOLD,
    inputs.ReleaseRequested(),
    inputs.CancelRequested(JOB),
    inputs.EraseRequested(JOB),
    inputs.ErasureCompleted(a_job(9), (), 0),
    applied(),
    inputs.ClusterDrainRequested("east", 0),
    inputs.ClusterActivated("east"),
    inputs.NodeCordonRequested("n1"),
    inputs.NodeUncordonRequested("n1"),
    inputs.WithdrawRequested("shapes", "sha256:" + "0" * 64),
)


@pytest.mark.parametrize("body", ASKED, ids=lambda body: type(body).__name__)
def test_what_a_revoked_operator_asks_is_not_done_and_kept_to_be_looked_at(body: Any) -> None:
    pool = running()
    pool.signer = BOB
    pool.tell(applied(revoked=(ADA,)))
    pool.signer = ADA
    assert pool.tell(body) == [InputQuarantined(pool.offset - 1, judge.REVOKED)]


def test_another_operator_takes_a_revocation_back_and_anybody_may_revoke_themselves() -> None:
    pool = Pool()
    pool.signer = ADA
    assert only(pool.tell(applied(revoked=(ADA,))), PolicyAdopted)[0].actor == ADA
    assert only(pool.tell(HoldRequested()), InputQuarantined)
    pool.signer = BOB
    assert only(pool.tell(applied()), PolicyAdopted)
    pool.signer = ADA
    assert pool.tell(HoldRequested()) == [PoolHeld(ADA)]


DIFFERENT: dict[str, Any] = {
    "trusted_models": True,
    "isolation": "job",
    "networks": ("shapes",),
    "gang_network": False,
    "join_tokens": True,
    "revoked": (N1,),
}


@pytest.mark.parametrize("field", ACCESS)
def test_a_policy_on_trial_leaves_the_rules_of_access_as_they_are(field: str) -> None:
    pool = Pool()
    body = msgspec.structs.replace(applied(**{field: DIFFERENT[field]}), revert_below_permille=900, revert_jobs=10)
    (refused,) = pool.tell(body)
    assert isinstance(refused, InputQuarantined)
    assert refused.reason == judge.ACCESS_ON_TRIAL.format(field)
    pool.tell(applied(**{field: DIFFERENT[field]}))
    more = saying(**{field: DIFFERENT[field], "failures_max": 3})
    assert only(pool.tell(PolicyApplied(more, fingerprint(more), 900, 10)), PolicyAdopted)


@pytest.mark.parametrize("until_ms", [0, START_MS - 1, START_MS + 24 * 3_600_000 + 1])
def test_a_policy_that_was_signed_long_ago_gives_nobody_back_what_was_taken_from_them(until_ms: int) -> None:
    """Whoever may write to `jobs` can write there again what an operator signed."""
    pool = Pool()
    old = msgspec.structs.replace(applied(), until_ms=until_ms)
    pool.signer = ADA
    pool.tell(applied(revoked=(N1,)))
    assert pool.tell(old) == [InputQuarantined(pool.offset - 1, judge.ACCESS_TOO_LATE.format("revoked"))]
    more = saying(revoked=(N1,), failures_max=3)
    assert only(pool.tell(PolicyApplied(more, fingerprint(more))), PolicyAdopted), "the rest of a policy may be old"
    assert only(pool.tell(applied()), PolicyAdopted)


def test_the_first_policy_of_a_pool_and_one_that_nobody_signed_may_be_of_any_age() -> None:
    policy = saying(join_tokens=True)
    pool = Pool(None)
    pool.signer = ADA
    assert only(pool.tell(PolicyApplied(policy, fingerprint(policy))), PolicyAdopted)
    pool.signer = ""
    assert only(pool.tell(PolicyApplied(POLICY, fingerprint(POLICY))), PolicyAdopted)


# Networks


def gang_pool(policy: Policy) -> Pool:
    pool = Pool(policy)
    pool.publish("gang", GANG)
    for node in ("n1", "n2"):
        pool.join(node, address=f"{node}:29500")
    pool.tell(submission(1, model="gang"))
    return pool


def test_a_network_for_gangs_comes_and_goes_with_the_policy() -> None:
    """A gang that lies on several nodes may finish."""
    pool = gang_pool(saying(gang_network=False))
    assert pool.job(JOB).open is None
    assert only(pool.tell(applied()), JobDispatched)[0].members
    assert names(pool.tell(applied(gang_network=False))) == ["PolicyAdopted"]
    assert pool.attempt(JOB).members
    pool.tell(submission(2, model="gang"))
    pool.start(JOB)
    pool.succeed(JOB)
    assert pool.job(a_job(2)).open is None


def test_slots_that_are_kept_on_several_nodes_are_given_back_when_gangs_have_no_network() -> None:
    pool = gang_pool(POLICY)
    pool.start(JOB)
    pool.tell(submission(2, model="gang"))
    assert only(pool.events, GangReserved)[0].nodes == ("n1", "n2")
    assert only(pool.tell(applied(gang_network=False)), GangReleased) == [GangReleased(a_job(2), "policy")]
    assert not only(pool.tick(1_000), GangReserved)


def test_without_a_network_for_gangs_none_lies_on_several_nodes() -> None:
    pool = gang_pool(saying(gang_network=False))
    assert pool.job(JOB).open is None
    pool.join("n3", slots=2)
    assert {pool.attempt(JOB).node, *(member.node for member in pool.attempt(JOB).members)} == {"n3"}
    (run,) = pool.orders()
    assert isinstance(run, Run)
    assert (run.rendezvous, run.network) == ("", False)


def test_a_run_says_whose_job_it_is_and_what_the_policy_says_of_isolation_and_networks() -> None:
    pool = gang_pool(saying(isolation="tenant", wheels_from_index=False))
    runs = pool.orders()
    assert [
        (run.network, run.tenant, run.isolation, run.wheels_from_index) for run in runs if isinstance(run, Run)
    ] == [(True, "acme", "tenant", False)] * 2, "ranks on several nodes have their network"
    pool = Pool(saying(networks=("shapes",)))
    for model in ("shapes", "other"):
        pool.publish(model)
    pool.join("n1", slots=2)
    pool.tell(submission(1), submission(2, model="other"))
    assert {(run.model, run.network) for run in pool.orders() if isinstance(run, Run)} == {
        ("shapes", True),
        ("other", False),
    }
