"""Who is the actor of what somebody asked for: the signer of the input, and for whom the signer speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contract.events import (
    AliasPointed,
    ClusterDraining,
    ClusterReturned,
    ErasureOrdered,
    JobCancelled,
    JobCancelling,
    NodeCordoned,
    NodeUncordoned,
    PolicyAdopted,
    PoolHeld,
    PoolReleased,
    VersionWithdrawn,
)
from contract.inputs import (
    AliasMoved,
    Body,
    CancelRequested,
    ClusterActivated,
    ClusterDrainRequested,
    EraseRequested,
    HoldRequested,
    NodeCordonRequested,
    NodeUncordonRequested,
    PolicyApplied,
    ReleaseRequested,
    WithdrawRequested,
)
from contract.policy import fingerprint
from contract.signers import operator_signer
from tests.unit.scheduling.specification import POLICY, Pool, a_job, only, submission, version_of

ADA = operator_signer("ada")
V1 = version_of("shapes/v1")
OTHER = msgspec.structs.replace(POLICY, failures_max=3)


def waiting() -> Pool:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1))
    return pool


def running() -> Pool:
    pool = waiting()
    pool.join("n1")
    pool.start(a_job(1))
    return pool


def after(*bodies: Body) -> Callable[[], Pool]:
    def prepared() -> Pool:
        pool = running()
        pool.tell(*bodies)
        return pool

    return prepared


ASKED: dict[str, tuple[Callable[[], Pool], Body, type[msgspec.Struct], str]] = {
    "policy": (waiting, PolicyApplied(OTHER, fingerprint(OTHER)), PolicyAdopted, ADA),
    "hold": (waiting, HoldRequested(), PoolHeld, ADA),
    "release": (after(HoldRequested()), ReleaseRequested(), PoolReleased, ADA),
    "drain": (waiting, ClusterDrainRequested("east", 0), ClusterDraining, ADA),
    "activate": (after(ClusterDrainRequested("east", 0)), ClusterActivated("east"), ClusterReturned, ADA),
    "cordon": (running, NodeCordonRequested("n1"), NodeCordoned, ADA),
    "uncordon": (after(NodeCordonRequested("n1")), NodeUncordonRequested("n1"), NodeUncordoned, ADA),
    "withdraw": (running, WithdrawRequested("shapes", V1), VersionWithdrawn, ADA),
    "alias": (waiting, AliasMoved("shapes", "live", V1, 2, by="eve@lab"), AliasPointed, "relay:eve@lab"),
    "cancel one that waits": (waiting, CancelRequested(a_job(1), "acme", "key7"), JobCancelled, "api:key7"),
    "cancel one that runs": (running, CancelRequested(a_job(1)), JobCancelling, ADA),
    "erase one that waits": (waiting, EraseRequested(a_job(1)), JobCancelled, ADA),
    "erase one that runs": (running, EraseRequested(a_job(1), "acme", "key7"), JobCancelling, "api:key7"),
    "erase": (after(CancelRequested(a_job(1))), EraseRequested(a_job(1), "acme", "key7"), ErasureOrdered, "api:key7"),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_somebody_asked_for_names_them(name: str) -> None:
    prepared, body, kind, actor = ASKED[name]
    pool = prepared()
    pool.signer = actor.partition(":")[0]
    said: Any
    (said,) = only(pool.tell(body), kind)
    assert said.actor == actor


@pytest.mark.parametrize("name", ASKED)
def test_where_nobody_signed_nobody_is_named_but_for_whom_it_was_said(name: str) -> None:
    prepared, body, kind, _ = ASKED[name]
    said: Any
    (said,) = only(prepared().tell(body), kind)
    by = getattr(body, "by", "")
    assert said.actor == (f":{by}" if by else "")


def test_what_the_rules_say_by_themselves_has_no_actor() -> None:
    """A node whose signed report is read at that moment has not asked for it."""
    pool = running()
    pool.signer = ADA
    pool.tell(CancelRequested(a_job(1)))
    pool.signer = "node.east/n1"
    assert only(pool.stop(a_job(1), "killed"), JobCancelled) == [JobCancelled(a_job(1), "cancel")], (
        "the JobCancelling before it says who asked"
    )
    pool.signer = ADA
    pool.tell(submission(2, model=f"shapes@{V1}"))
    pool.tell(WithdrawRequested("shapes", V1, kill=True))
    pool.signer = "node.east/n1"
    pool.stop(a_job(2), "recalled")
    assert only(pool.events, JobCancelled) == [JobCancelled(a_job(2), "version_withdrawn")]
