"""How a node speaks: its outbox on a producer. What the broker did not take is handed over again until it does."""

from __future__ import annotations

import time
import uuid

from contract.codec import Headers, encode, headers_for
from contract.doors import AttemptProgressed
from contract.inputs import NodeReport, Started
from contract.orders import Run
from contract.topics import JOBS, PROGRESS
from gpu_worker import metrics
from gpu_worker.node import Node, Producer
from gpu_worker.outbox import Outbox, Said
from runtime.kafka import Delivery, DeliveryUnclear, OnDelivery

AGAIN_S = 0.25
"""Pause before a record that did not get through is handed over again; the producer itself has tried for seconds."""

PROGRESS_EVERY_S = 0.25


class Voice:
    """For the agent's main thread. `on_delivery` is called in the producer's; what it gets belongs to `delivered`."""

    def __init__(self, node: Node, producer: Producer, on_delivery: OnDelivery) -> None:
        self.outbox = Outbox(node.name)
        self.again_at_s: float | None = None
        """When `speak_again` is to be called (monotonic clock)."""
        self._node = node
        self._producer = producer
        self._on_delivery = on_delivery
        self._voice = uuid.uuid4().hex
        """With a number, the CloudEvents id of a record."""
        self._number = 0
        self._letter: tuple[bytes, Headers] = (b"", [])
        self._progressed_s: dict[str, float] = {}

    def speak(self) -> None:
        """Hand over what is ready, unless a record is under way."""
        record = self.outbox.next()
        if record is not None:
            self._letter = (encode(record), self._headers(record))
            self._post()

    def speak_again(self) -> None:
        """Hand the record under way over again; the copy has the first one's CloudEvents id."""
        self.again_at_s = None
        self._post()

    def delivered(self, result: Delivery | Exception) -> list[str]:
        """How the record under way went; the dispatches whose Started the broker has now."""
        if isinstance(result, Exception):
            metrics.deliveries_unclear.inc()
            self.again_at_s = time.monotonic() + AGAIN_S
            return []
        record = self.outbox.delivered()
        if not isinstance(record, NodeReport):
            return []
        return [report.dispatch for report in record.reports if isinstance(report, Started)]

    def progress(self, run: Run, fraction: float, message: str) -> None:
        """Tell whoever watches the job; at most four times a second, and lost if the broker is away."""
        now_s = time.monotonic()
        if now_s - self._progressed_s.get(run.dispatch, 0.0) < PROGRESS_EVERY_S:
            return
        self._progressed_s[run.dispatch] = now_s
        progress = AttemptProgressed(run.job, run.dispatch, min(1.0, max(0.0, fraction)), message[:200])
        try:
            self._producer.send(PROGRESS, encode(progress), key=run.job.encode(), headers=self._headers(progress))
        except DeliveryUnclear:
            return  # it decides nothing

    def forget(self, dispatch: str) -> None:
        """There will be no more progress of this attempt."""
        self._progressed_s.pop(dispatch, None)

    def _post(self) -> None:
        value, headers = self._letter
        try:
            self._producer.send(
                JOBS,
                value,
                key=uuid.uuid4().hex.encode(),
                headers=headers,
                partition=self._node.jobs_partition,
                on_delivery=self._on_delivery,
            )
        except DeliveryUnclear as error:
            self._on_delivery(error)

    def _headers(self, record: Said | AttemptProgressed) -> Headers:
        self._number += 1
        return headers_for(record, f"{self._voice}.{self._number}", f"node/{self._node.name}")
