"""Servers killed and started again under a node: what runs goes on, what is to be said is said."""

from __future__ import annotations

from contract.inputs import NodeJoined, Started, Succeeded
from local.services import Services
from tests.integration.gpu_worker.by_hand import HandScheduler, SteadyNode


def test_a_broker_that_dies_costs_no_running_attempt(
    servers: Services, scheduler: HandScheduler, steady: SteadyNode, noop: str
) -> None:
    order = scheduler.for_steady(steady, noop, {"sleep_ms": 2000})
    scheduler.send(order)
    scheduler.started(order.dispatch)
    servers.kafka.kill()
    servers.kafka.start()
    servers.kafka.await_ready()
    assert isinstance(scheduler.ended(order.dispatch), Succeeded)
    assert scheduler.reports(order.dispatch)[0] == Started(order.job, order.dispatch)
    after = scheduler.for_steady(steady, noop)
    scheduler.send(after)
    assert isinstance(scheduler.ended(after.dispatch), Succeeded)
    assert not any(isinstance(wire, NodeJoined) for wire in scheduler.heard)


def test_outputs_wait_for_a_store_that_is_away_while_the_slot_works_on(
    servers: Services, scheduler: HandScheduler, steady: SteadyNode, odd: str, noop: str
) -> None:
    first = scheduler.for_steady(steady, odd, {"how": "file", "prompt": "x"})
    warm = scheduler.for_steady(steady, noop)
    for order in (first, warm):
        scheduler.send(order)
        scheduler.ended(order.dispatch)
    storing = scheduler.for_steady(steady, odd, {"how": "file", "prompt": "y"})
    beside = scheduler.for_steady(steady, noop)
    servers.s3.kill()
    try:
        for order in (storing, beside):
            scheduler.send(order)
        assert isinstance(scheduler.ended(beside.dispatch), Succeeded)
        scheduler.heartbeat(steady.session, lambda h: h.running == (storing.dispatch,))
    finally:
        servers.s3.start()
        servers.s3.await_ready()
    assert isinstance(scheduler.ended(storing.dispatch), Succeeded)
