"""Who asked for what happened: the owner of a job hears of its own keys and of operators, never of their names."""

from __future__ import annotations

import pytest

from api.bodies import JobEvent
from contract import events as e
from contract.policy import fingerprint
from tests.unit.views.ledger import VERSION, Ledger, job_of, policy_of
from views.actors import to_operator, to_tenant
from views.fold import Fold
from views.rows import JobEventRow

JOB = job_of("main", "one")
SEEN = {
    "api:key_mine": ("you", "key_mine"),
    "api:key_other": ("key_other", "key_other"),
    "api": ("", "api"),
    "operator.ada": ("operator", "ada"),
    "operator.ada:key_mine": ("operator", "key_mine"),
    "relay:carol": ("", "carol"),
    "node.east/n1": ("", "node.east/n1"),
    "": ("", ""),
}
"""By actor: what a tenant with `key_mine` sees, and what an operator does."""


@pytest.mark.parametrize("actor", SEEN)
def test_each_sees_what_is_theirs(actor: str) -> None:
    assert (to_tenant(actor, "key_mine"), to_operator(actor)) == SEEN[actor]
    row = JobEventRow(JOB, 1, 0, "main", 1, "JobCancelled", "cancelled", 0, "ended on request", actor)
    shown = JobEvent.of(row, "key_mine")
    assert (shown.actor, shown.words, shown.job) == (SEEN[actor][0], row.words, JOB)


def test_the_views_know_who_asked_for_what() -> None:
    ledger, policy = Ledger("main"), policy_of("main")
    ledger.admit("n-1")
    ledger.write(e.PolicyAdopted(policy, fingerprint(policy), actor="operator.ada"))
    ledger.write(ledger.accepted(JOB))
    ledger.write(
        e.PoolHeld(actor="operator.ada"),
        e.ClusterDraining("east", 0, actor="operator.bob"),
        e.NodeCordoned("n-1", "east", "operator", actor="operator.eve"),
        e.VersionWithdrawn("film", VERSION, False, actor="operator.ada"),
        e.JobCancelled(JOB, "cancel", actor="api:key_mine"),
    )
    fold = Fold("main", {}, {}, {}, {})
    for record in ledger.records:
        fold.fold(record.offset, record.batch)
    pool = fold.pool
    assert pool.policy is not None
    assert (pool.policy.actor, pool.held, pool.held_by) == ("operator.ada", True, "operator.ada")
    assert (pool.clusters["east"].actor, pool.clusters["west"].actor) == ("operator.bob", "")
    assert pool.nodes["n-1"].cordoned_by == "operator.eve"
    assert [row.actor for row in pool.withdrawals.values()] == ["operator.ada"]
    assert [row.actor for row in fold.jobs.events] == ["", "api:key_mine"]
    ledger.write(
        e.PoolReleased(actor="operator.bob"),
        e.ClusterReturned("east", actor="operator.ada"),
        e.NodeUncordoned("n-1", "operator", actor="operator.ada"),
        e.PolicyReverted(policy, fingerprint(policy), 900, 10),
    )
    fold.fold(ledger.records[-1].offset, ledger.records[-1].batch)
    assert (pool.policy.actor, pool.held, pool.held_by) == ("", False, "")
    assert (pool.clusters["east"].actor, pool.nodes["n-1"].cordoned_by) == ("operator.ada", "")
