"""Sending a pool's orders: to the dispatch partition each node reads, payload included while it is still held.

An order that is lost needs no care here: it is sent again when a heartbeat contradicts the state, and at takeover.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog

from contract.codec import encode, headers_for
from contract.names import dispatch_partition
from contract.orders import Order, Run
from contract.topics import dispatch_topic
from runtime.kafka import Delivery, DeliveryUnclear, Producer
from scheduling.attempts.orders import clusters_for
from scheduling.state.pool import State
from streams.ledger.payloads import PayloadCache
from streams.metrics import ORDERS_FAILED

log = structlog.get_logger(__name__)


class Dispatching:
    """One pool's way to its nodes."""

    def __init__(self, state: State, producer: Producer, payloads: PayloadCache, session: str) -> None:
        self._state, self._producer, self._payloads = state, producer, payloads
        self._source = f"headrace/scheduler/{state.pool}/{session}"
        self._sent = 0

    def send(self, orders: Iterable[Order]) -> None:
        """Hand the orders to the producer, without waiting for any. One that it has no room for is lost."""
        for order in orders:
            if isinstance(order, Run):
                order = self._with_payload(order)
            value = encode(order)
            self._sent += 1
            headers = headers_for(
                order, str(self._sent), self._source, order.traceparent if isinstance(order, Run) else ""
            )
            for topic, partition in self._places(order):
                try:
                    self._producer.offer(topic, value, headers=headers, partition=partition, on_delivery=self._settled)
                except DeliveryUnclear as error:
                    self._settled(error)

    def _with_payload(self, run: Run) -> Run:
        payload, traceparent = self._payloads.get(run.offset)
        return msgspec.structs.replace(run, payload=payload, traceparent=traceparent) if payload else run

    def _places(self, order: Order) -> list[tuple[str, int]]:
        """The dispatch topics and partitions where its node may read it."""
        policy = self._state.policy
        known = policy.clusters if policy is not None else {}
        return [
            (dispatch_topic(name), dispatch_partition(order.node, known[name].dispatch_partitions))
            for name in clusters_for(self._state, order)
            if name in known
        ]

    def _settled(self, outcome: Delivery | Exception) -> None:
        if isinstance(outcome, Exception):
            ORDERS_FAILED.labels(self._state.pool).inc()
            log.warning(
                "an order was not delivered; it is sent again when missed", pool=self._state.pool, found=str(outcome)
            )
