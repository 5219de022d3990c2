"""Which machines the policy in force lets join: with a join token, and with all layers that hold models off."""

from __future__ import annotations

from typing import Any

import pytest

from contract.events import (
    JobDispatched,
    NodeAdmitted,
    NodeDrained,
    NodeLost,
    NodeRefused,
    RecallOrdered,
)
from contract.orders import Drain, Refuse, Rejoin
from scheduling import snapshot
from scheduling.attempts import orders
from scheduling.state import node_events
from tests.unit.scheduling.policed import (
    ANOTHER,
    JOB,
    MINE,
    applied,
    saying,
)
from tests.unit.scheduling.specification import (
    Pool,
    a_job,
    names,
    only,
    submission,
)

# Join tokens


def asking() -> Pool:
    pool = Pool(saying(join_tokens=True))
    pool.publish()
    return pool


def joined(pool: Pool, *, token: int = 0, **how: Any) -> str:
    """What becomes of a join, with a token that ends so many ms after the join was appended; 0: without."""
    pool.token_until_ms = pool.now_ms + token if token else 0
    events = pool.join("n1", **how)
    pool.token_until_ms = 0
    (said,) = [event for event in events if isinstance(event, NodeAdmitted | NodeRefused)]
    return said.reason if isinstance(said, NodeRefused) else "admitted"


def test_a_machine_that_is_new_needs_a_token_that_has_not_ended() -> None:
    pool = asking()
    assert joined(pool, identity=MINE) == "no_token"
    assert pool.orders() == [Refuse("n1", "s1", "main", 1, "no_token")]
    assert joined(pool, identity=MINE, session="s2", token=-1) == "no_token"
    assert joined(pool, identity=MINE, session="s3", token=1) == "admitted"


def test_the_same_machine_comes_back_without() -> None:
    pool = asking()
    joined(pool, identity=MINE, token=1)
    assert joined(pool, identity=MINE, session="s2") == "admitted", "while its session is alive"
    pool.leave("n1", "s2")
    assert joined(pool, identity=MINE, session="s3") == "admitted", "after it has left"
    pool.tick(30_000)
    assert only(pool.events, NodeLost)
    pool.state = snapshot.decode(snapshot.encode(pool.state))
    assert joined(pool, identity=MINE, session="s4") == "admitted", "after it was lost, by a snapshot too"


MOVED = {"identity": MINE, "cluster": "west"}


@pytest.mark.parametrize(
    "how",
    [{"identity": ANOTHER}, {"identity": ""}, MOVED],
    ids=["another machine", "a machine that says nothing", "another cluster"],
)
def test_another_machine_needs_one_and_without_it_changes_nothing(how: dict[str, Any]) -> None:
    pool = asking()
    joined(pool, identity=MINE, token=1)
    pool.tell(submission(1))
    pool.start(JOB)
    refused = joined(pool, session="s2", **how)
    assert refused == ("name_taken" if how["identity"] == ANOTHER else "no_token")
    assert (pool.state.nodes["n1"].session, pool.attempt(JOB).started) == ("s1", True)
    pool.leave()
    assert joined(pool, session="s3", **how) == "no_token"
    assert joined(pool, session="s4", token=1, **how) == "admitted"


def test_a_node_of_old_without_identity_needs_one_each_time() -> None:
    pool = asking()
    assert joined(pool, token=1) == "admitted"
    pool.leave()
    assert joined(pool, session="s2") == "no_token"


def test_a_machine_that_was_forgotten_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_events, "PAST_NODES_KEPT", 1)
    pool = asking()
    joined(pool, identity=MINE, token=1)
    pool.leave()
    pool.token_until_ms = pool.now_ms
    pool.join("n2")
    pool.leave("n2")
    assert joined(pool, identity=MINE, session="s2") == "no_token"


def test_who_came_before_tokens_were_asked_for_needs_none() -> None:
    pool = Pool()
    joined(pool, identity=MINE)
    pool.tell(applied(join_tokens=True))
    assert joined(pool, identity=MINE, session="s2") == "admitted"


def test_a_node_in_the_wrong_pool_hears_that_first() -> None:
    """A Refuse for an unknown cluster alone goes where such a node listens."""
    pool = asking()
    assert joined(pool, cluster="far", identity=MINE, layers_missing=("files",)) == "unknown_cluster"
    (refuse,) = pool.orders()
    assert orders.clusters_for(pool.state, refuse) == ("east", "far", "west")


# Layers


def test_a_node_without_all_layers_joins_where_models_are_trusted_only() -> None:
    pool = Pool()
    missing = ("files", "sockets")
    assert pool.join("n1", layers_missing=missing) == [NodeRefused("n1", "s1", "not_confined")]
    pool.tell(applied(trusted_models=True))
    (admitted,) = only(pool.join("n1", session="s2", layers_missing=missing), NodeAdmitted)
    assert admitted.layers_missing == missing


def test_when_models_are_trusted_no_longer_nothing_new_begins_and_what_runs_may_finish() -> None:
    pool = Pool(saying(trusted_models=True))
    pool.publish()
    pool.join("n1", layers_missing=("files",), identity=MINE)
    pool.tell(submission(1), submission(2))
    pool.start(JOB)
    staged = pool.dispatch(a_job(2))
    assert pool.tell(applied())[1:] == [
        NodeDrained("n1", "s1", "not_confined"),
        RecallOrdered(a_job(2), staged, "not_confined"),
    ]
    pool.stop(a_job(2), "recalled")
    assert not only(pool.beat(), JobDispatched)
    assert pool.orders() == [Drain("n1", "s1", "main", 1)]
    assert names(pool.succeed(JOB)) == ["JobSucceeded"]
    pool.beat(draining=True)
    assert pool.orders() == [Rejoin("n1", "s1", "main", 1)]
    assert pool.join("n1", session="s2", layers_missing=("files",))[-1] == NodeRefused("n1", "s2", "not_confined")
    assert only(pool.join("n1", session="s3"), NodeAdmitted), "all layers hold now"
    assert only(pool.events, JobDispatched)


def test_a_node_that_drained_for_its_layers_comes_back_when_models_are_trusted_again() -> None:
    pool = Pool(saying(trusted_models=True))
    pool.publish()
    pool.join("n1", layers_missing=("files",))
    pool.tell(applied())
    assert pool.tick(1_000) == [], "it is said once"
    pool.tell(applied(trusted_models=True))
    pool.beat()
    assert pool.orders() == [Rejoin("n1", "s1", "main", 1)]
    assert only(pool.join("n1", session="s2", layers_missing=("files",)), NodeAdmitted)


def test_a_node_whose_lease_lapses_in_the_batch_that_would_drain_it_is_lost_and_nothing_more() -> None:
    pool = Pool(saying(trusted_models=True))
    pool.join("n1", layers_missing=("files",))
    assert names(pool.tell(applied(), after_ms=30_000)) == ["PolicyAdopted", "NodeLost"]
