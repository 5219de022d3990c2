"""Sending the orders of a pool to the dispatch partitions that its nodes read, with payloads while they are held.

A lost order needs no care here: it is sent again when a heartbeat contradicts the state, and at a takeover.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog

from contract.codec import encode, headers_for
from contract.names import dispatch_partition
from contract.orders import Order, Prepare, Run
from contract.topics import dispatch_topic
from runtime.kafka import Delivery, DeliveryUnclear, Producer
from scheduling.attempts.orders import clusters_for
from scheduling.state.pool import State
from streams.ledger.payloads import PayloadCache
from streams.metrics import ORDERS_FAILED

log = structlog.get_logger(__name__)


class Dispatching:
    """The way from one pool to its nodes."""

    def __init__(self, state: State, producer: Producer, payloads: PayloadCache, session: str) -> None:
        self._state, self._producer, self._payloads = state, producer, payloads
        self._source = f"headrace/scheduler/{state.pool}/{session}"
        self._sent = 0

    def send(self, orders: Iterable[Order]) -> None:
        """Hand the orders to the producer without waiting. An order for which the producer has no room is lost."""
        for order in orders:
            traceparent = ""
            if isinstance(order, Run | Prepare):
                order = self._with_payload(order)
                traceparent = order.traceparent
            value = encode(order)
            self._sent += 1
            headers = headers_for(order, str(self._sent), self._source, traceparent)
            for topic, partition in self._places(order):
                try:
                    self._producer.offer(topic, value, headers=headers, partition=partition, on_delivery=self._settled)
                except DeliveryUnclear as error:
                    self._settled(error)

    def _with_payload(self, order: Run | Prepare) -> Run | Prepare:
        payload, traceparent = self._payloads.get(order.offset)
        return msgspec.structs.replace(order, payload=payload, traceparent=traceparent) if payload else order

    def _places(self, order: Order) -> list[tuple[str, int]]:
        """The dispatch topics and partitions where the node of this order may read it."""
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
                "an order was not delivered; it is sent again when its node misses it",
                pool=self._state.pool,
                found=str(outcome),
            )
