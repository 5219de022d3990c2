"""Which orders nodes are owed, and which are sent again."""

from __future__ import annotations

from collections.abc import Iterable

from contract.inputs import ClusterDrainRequested, NodeHeartbeat, NodeJoined, NodeLeft
from contract.orders import Drain, Kill, Order, Recall, Rejoin, Run
from scheduling.attempts.orders import clusters_for, standing_orders
from tests.unit.scheduling.specification import Pool, a_job, submission, version_of

JOB = a_job(1)


def with_a_job(*, started: bool = False) -> Pool:
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    if started:
        pool.start(JOB)
    return pool


def kill(pool: Pool, dispatch: str, job: str = JOB) -> Kill:
    return Kill("n1", "s1", "main", pool.state.epoch, job, dispatch)


def recall(pool: Pool) -> Recall:
    return Recall("n1", "s1", "main", pool.state.epoch, JOB, pool.dispatch(JOB))


def test_a_dispatch_is_an_order_to_run_with_all_the_node_needs_but_the_payload() -> None:
    pool = with_a_job()
    (run,) = pool.orders()
    assert run == Run(
        node="n1",
        session="s1",
        pool="main",
        epoch=1,
        job=JOB,
        attempt=1,
        dispatch=pool.dispatch(JOB),
        model="shapes",
        version=version_of("shapes/v1"),
        timeout_ms=60_000,
        partition=0,
        offset=pool.offset - 1,
        digest="sha256:" + "d" * 64,
        tenant="acme",
    )


def test_cancelling_orders_a_recall_of_what_is_staged_and_a_kill_of_what_runs() -> None:
    pool = with_a_job()
    pool.cancel(JOB)
    assert pool.orders() == [recall(pool)]
    pool.start(JOB)
    assert pool.orders() == [kill(pool, pool.dispatch(JOB))]


def test_an_order_to_run_that_got_lost_is_sent_again_when_a_heartbeat_does_not_list_it() -> None:
    pool = with_a_job()
    (first,) = pool.orders()
    pool.beat(staged=(), after_ms=4_999)
    assert pool.orders() == [], "it may still be on its way"
    pool.beat(staged=(), after_ms=1)
    assert pool.orders() == [first]
    pool.beat(after_ms=5_000)
    assert pool.orders() == [], "listed as staged"
    pool.beat(staged=(), running=(pool.dispatch(JOB),))
    assert pool.orders() == [], "its Started is on its way"


def test_a_kill_is_sent_again_at_every_heartbeat_until_the_attempt_closes() -> None:
    pool = with_a_job(started=True)
    pool.cancel(JOB)
    dispatch = pool.dispatch(JOB)
    for _ in range(5):
        pool.beat(after_ms=5_000)
        assert pool.orders() == [kill(pool, dispatch)]
    pool.beat(running=(), after_ms=5_000)
    assert pool.orders() == [kill(pool, dispatch)], "it must report that it has none"
    pool.stop(JOB, "killed")
    pool.beat(after_ms=5_000)
    assert pool.orders() == []


def test_a_recall_is_sent_again_and_for_a_cancelled_job_as_a_kill() -> None:
    pool = with_a_job()
    pool.tell(ClusterDrainRequested("east", 0))
    pool.beat(after_ms=5_000)
    assert pool.orders() == [recall(pool)]
    pool.cancel(JOB)
    pool.beat(after_ms=5_000)
    assert pool.orders() == [kill(pool, pool.dispatch(JOB))]


def test_what_a_node_holds_and_is_not_open_is_killed() -> None:
    pool = with_a_job(started=True)
    pool.beat(running=(pool.dispatch(JOB), "1.0.7"), staged=("1.0.8",))
    assert pool.orders() == [kill(pool, "1.0.7", ""), kill(pool, "1.0.8", "")]


def test_what_this_very_batch_closed_is_not() -> None:
    pool = with_a_job(started=True)
    dispatch = pool.dispatch(JOB)
    heartbeat = NodeHeartbeat("n1", "s1", running=(dispatch,))
    pool.report_with(heartbeat, JOB)
    assert pool.orders() == []
    pool.tell(heartbeat)
    assert pool.orders() == [kill(pool, dispatch, "")]


def test_an_unknown_or_lost_session_is_told_to_join_again() -> None:
    pool = with_a_job()
    pool.beat(session="s9")
    assert pool.orders() == [Rejoin("n1", "s9", "main", 1)]
    pool.tick(30_000)
    pool.beat()
    (rejoin,) = pool.orders()
    assert rejoin == Rejoin("n1", "s1", "main", 1)
    assert clusters_for(pool.state, rejoin) == ("east",), "where it last was"
    pool.tell(NodeHeartbeat("stranger", "s1"))
    assert clusters_for(pool.state, pool.orders()[0]) == ("east", "west"), "nobody knows where it is"


def test_a_node_that_left_after_its_heartbeat_is_told_nothing() -> None:
    pool = with_a_job()
    pool.tell(NodeHeartbeat("n1", "s1"), NodeLeft("n1", "s1"))
    assert pool.orders() == []


def test_only_the_last_heartbeat_of_a_node_is_answered() -> None:
    pool = with_a_job()
    pool.tell(NodeHeartbeat("n1", "s1"), NodeHeartbeat("n1", "s1", staged=(pool.dispatch(JOB),)), after_ms=9_000)
    assert pool.orders() == []


def test_a_node_that_drained_and_claims_to_take_work_is_told_to_drain() -> None:
    pool = with_a_job()
    pool.stop(JOB, "drained")
    pool.beat()
    assert pool.orders() == [Drain("n1", "s1", "main", 1)]
    pool.beat(draining=True)
    assert pool.orders() == []


def test_a_draining_cluster_keeps_its_nodes() -> None:
    pool = with_a_job(started=True)
    pool.tell(ClusterDrainRequested("east", 0))
    pool.beat(after_ms=6_000)
    assert pool.orders() == []


def test_a_newcomer_sends_every_order_whose_effect_is_not_seen_in_its_own_epoch() -> None:
    pool = Pool()
    pool.publish()
    pool.join("n1", slots=4)
    pool.tell(*(submission(number) for number in range(4)))
    pool.start(a_job(0))
    pool.start(a_job(1))
    pool.cancel(a_job(1))
    pool.cancel(a_job(2))
    pool.take_over()
    orders = {type(order).__name__: order for order in _of_jobs(standing_orders(pool.state))}
    assert {(kind, order.job) for kind, order in orders.items()} <= {
        ("Run", a_job(3)),
        ("Kill", a_job(1)),
        ("Kill", a_job(2)),
    }
    assert sorted((type(o).__name__, o.job) for o in _of_jobs(standing_orders(pool.state))) == sorted(
        [("Run", a_job(3)), ("Kill", a_job(1)), ("Kill", a_job(2))]
    )
    assert {order.epoch for order in standing_orders(pool.state)} == {2}


def _of_jobs(orders: Iterable[Order]) -> list[Run | Kill | Recall]:
    """The orders, each of which must be about a job."""
    found = list(orders)
    assert all(isinstance(order, Run | Kill | Recall) for order in found)
    return [order for order in found if isinstance(order, Run | Kill | Recall)]


def test_a_node_of_the_same_name_that_joined_since_gets_its_own_orders() -> None:
    pool = with_a_job()
    pool.tell(NodeHeartbeat("n1", "s1"), NodeJoined("n1", "s2", "east", "cpu", 1, 0, 4096))
    runs = [order for order in pool.orders() if isinstance(order, Run)]
    assert [(order.session, order.attempt) for order in runs] == [("s2", 2)]
