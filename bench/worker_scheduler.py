"""The core of the scheduler in a thread, between a node's real agent and jobs that are all queued, for `bench.worker`.

It is the broker too: what the node writes is decided on in batches, as a host does, and what follows goes to the node.
There is no ledger, because nothing here outlives the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from contract.codec import decode_input
from contract.inputs import (
    AliasMoved,
    AttemptReport,
    Body,
    Input,
    NodeReport,
    PolicyApplied,
    Requirements,
    Submission,
    VersionPublished,
)
from contract.names import job_id
from contract.orders import Order, Run
from contract.policy import Cluster, Policy, Pool, Tier, fingerprint
from contract.topics import JOBS
from runtime.kafka import Delivery, OnDelivery
from runtime.worker.order_reader import OrderListener
from scheduling.attempts.orders import orders_for
from scheduling.decide import Clock, decide, open_pool
from scheduling.evolve import evolve
from scheduling.state.pool import initial_state

POOL = CLUSTER = "main"
MODEL, VERSION = "clips", "sha256:" + "0" * 64
TIMEOUT_MS = 120_000
TURN_S = 0.02
"""How long the host waits for more records before it decides."""


class CoreScheduler:
    def __init__(self, digest: str, completed: Callable[[Run], Run], staged_per_slot: int = 1) -> None:
        """`digest`: of each job's payload. `completed`: fills into an order what a host fills in."""
        self.said: SimpleQueue[AttemptReport] = SimpleQueue()
        """What the node reported of attempts."""
        self.orders: dict[str, Run] = {}
        """By job, the last order to run it."""
        self._digest, self._completed = digest, completed
        self._records: SimpleQueue[Body | None] = SimpleQueue()
        self._listener: OrderListener | None = None
        self._session = ""
        self._offset = 0
        self._decided_s = time.monotonic()
        self._state = state = initial_state(POOL)
        for event in open_pool(state, "bench", "bench", Clock(1, 0, _now_ms(), 0, True)):
            evolve(state, event)
        state.epoch, state.seq = 1, 0
        cluster = Cluster(POOL, 10, staged_per_slot=staged_per_slot)
        policy = Policy(tiers={"api": Tier(60_000)}, pools={POOL: Pool(0)}, clusters={CLUSTER: cluster})
        self._decide([PolicyApplied(policy, fingerprint(policy))])
        needs = Requirements(("cpu",), 0, 0)
        self._decide([VersionPublished(MODEL, VERSION, needs, TIMEOUT_MS), AliasMoved(MODEL, "live", VERSION, 1)])
        self._thread = threading.Thread(target=self._work)

    def submit(self, jobs: int) -> None:
        """Queue so many jobs, and begin to decide."""
        for number in range(jobs):
            job = job_id(POOL, str(number))
            self._records.put(Submission(job, "bench", "api", MODEL, self._digest, "api"))
        self._thread.start()

    def close(self) -> None:
        self._records.put(None)
        self._thread.join()

    # -- what the node asks of a broker ---------------------------------------------------------------------------

    def offer(self, topic: str, value: bytes | None, *, on_delivery: OnDelivery | None = None, **_: Any) -> None:
        if topic != JOBS or on_delivery is None or value is None:
            return
        record = decode_input(value)
        if isinstance(record, NodeReport):
            for report in record.reports:
                if isinstance(report, AttemptReport):
                    self.said.put(report)
        self._records.put(record)  # type: ignore[arg-type]  # a node writes nothing that an input wraps
        on_delivery(Delivery(0, 0, 0))

    def open_orders(self, session: str, listener: OrderListener) -> CoreScheduler:
        self._session, self._listener = session, listener
        return self

    def start(self) -> None:
        assert self._listener is not None, "a session was opened"
        self._listener.positioned(self._session)

    def stop(self, wait_s: float = 0.0) -> None:
        pass

    # -- the host -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            bodies: list[Body] = []
            try:
                while (record := self._records.get(timeout=TURN_S)) is not None:
                    bodies.append(record)
                    if self._records.empty():
                        break
                else:
                    return
            except Empty:
                pass
            orders = self._decide(bodies)
            if orders and self._listener is not None:
                self._listener.ordered(orders)

    def _decide(self, bodies: list[Body]) -> list[Order]:
        state, now_s = self._state, time.monotonic()
        inputs = [Input(self._offset + n, _now_ms(), body, f"{self._offset + n:032x}") for n, body in enumerate(bodies)]
        self._offset += len(bodies)
        elapsed_ms, self._decided_s = round((now_s - self._decided_s) * 1000), now_s
        orders: list[Order] = []
        while True:
            decision = decide(state, inputs, Clock(1, state.seq + 1, _now_ms(), elapsed_ms, True))
            orders += orders_for(state, inputs[: decision.taken], decision.events)
            elapsed_ms, inputs = 0, inputs[decision.taken :]
            if not inputs:
                break
        state.position = self._offset
        return [self._filled(order) for order in orders]

    def _filled(self, order: Order) -> Order:
        if not isinstance(order, Run):
            return order
        self.orders[order.job] = filled = self._completed(order)
        return filled


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
