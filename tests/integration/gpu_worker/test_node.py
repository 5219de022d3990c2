"""A node agent on a real broker and object store, with orders sent by hand."""

from __future__ import annotations

from contract.inputs import Started, Succeeded
from contract.results import EMPTY_MANIFEST
from tests.integration.gpu_worker.by_hand import HandScheduler, NodeProcess


def test_a_job_runs_from_order_to_result(scheduler: HandScheduler, node: NodeProcess, noop: str) -> None:
    order = scheduler.run(node.start(), noop)
    scheduler.send(order)
    assert scheduler.ended(order.dispatch) == Succeeded(order.job, order.dispatch, EMPTY_MANIFEST)
    assert scheduler.reports(order.dispatch)[0] == Started(order.job, order.dispatch)
    assert scheduler.heartbeat(lambda h: h.loaded == (noop,)).cached == (noop,)
