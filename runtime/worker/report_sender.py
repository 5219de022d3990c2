"""Sends what a node has to say: its queue of reports, by a producer. A record that the broker did not take is sent
again until the broker takes it; the queue makes smaller what the broker refuses for its size. The log has one line for
the beginning of an outage and one for its end."""

from __future__ import annotations

import time
import uuid
from typing import NamedTuple

import structlog

from contract.bounds import mended
from contract.codec import encode, headers_for
from contract.inputs import NodeJoined, NodeReport, Started
from contract.side_topics import AttemptProgressed
from contract.signing import RecordSigner, SignedRecord
from contract.topics import JOBS, PROGRESS
from runtime import jobs_writer
from runtime.jobs_writer import RecordSink
from runtime.kafka import Delivery, DeliveryRefused, DeliveryUnclear, OnDelivery
from runtime.worker import metrics
from runtime.worker.node import NodeIdentity
from runtime.worker.report_queue import NodeRecord, ReportQueue

log = structlog.get_logger(__name__)

AGAIN_S = 0.25
"""Pause before a record without an ack is sent again. The producer itself has tried for seconds."""

PROGRESS_EVERY_S = 0.25
MESSAGE_CHARACTERS_MAX = 200


REASONS_MAX = 10
"""How many reasons the log tells of one silence."""

REMEDIES = {
    "SIZE_TOO_LARGE": "The record is made smaller by itself",
    "LIST_TOO_LARGE": "The record is made smaller by itself",
    "AUTHORIZATION_FAILED": "Let this node's user write to the topic (the broker's ACLs)",
    "AUTHENTICATION": "Give this node the user and password that the broker knows",
    "TIMED_OUT": "Is the broker up, and reachable from this machine?",
    "TRANSPORT": "Is the broker up, and reachable from this machine?",
    "no such partition": "Is the policy applied, and --partition that of this node's pool?",
    "NOT_ENOUGH_REPLICAS": "Are enough brokers up for the topic's min.insync.replicas?",
}
"""By a part of what the client calls the reason."""

REMEDY = "The broker's log has the reason"


class Settled(NamedTuple):
    """What became of a record, for the attempts whose Started was in it."""

    acknowledged: tuple[str, ...] = ()
    """Dispatches whose Started the broker has."""
    unsaid: tuple[str, ...] = ()
    """Dispatches whose Started the broker will never have."""


class ReportSender:
    """For the agent's main thread. `on_delivery` is called in the producer's thread; have the main thread pass what it
    got to `delivered`."""

    def __init__(self, node: NodeIdentity, producer: RecordSink, signer: RecordSigner, on_delivery: OnDelivery) -> None:
        self.queue = ReportQueue(node.name)
        self.again_at_s: float | None = None
        """When `send_again` is to be called (monotonic clock)."""
        self._node = node
        self._producer, self._signer = producer, signer
        self._on_delivery = on_delivery
        self._stream = uuid.uuid4().hex
        """With a number, this is the CloudEvents id of a record."""
        self._number = 0
        self._source = f"node/{node.name}"
        self._record_under_way: SignedRecord | None = None
        self._progressed_s: dict[str, float] = {}
        self._silent_since_s: float | None = None
        """Since when the broker has taken no record of this node (monotonic clock)."""
        self._reasons: set[str] = set()
        """Why the broker took nothing in this time, each of which the log has told once."""
        self._dropping = False
        """The broker refused a record of which nothing could be left out; the log has said so."""

    def send_next(self) -> None:
        """Send what is ready, unless a record is under way."""
        record = self.queue.next()
        if record is not None:
            signed = self._signer.record(
                record,
                partition=self._node.jobs_partition,
                key=uuid.uuid4().hex.encode(),
                event_id=self._next_id(),
                source=self._source,
            )
            if isinstance(record, NodeJoined) and self._node.join_token:
                signed = jobs_writer.with_join_token(signed, self._node.join_token)
            self._record_under_way = signed
            self._post()

    def send_again(self) -> None:
        """Send the record under way again, with the same CloudEvents id."""
        self.again_at_s = None
        self._post()

    def delivered(self, result: Delivery | Exception) -> Settled:
        """What became of the record under way."""
        if isinstance(result, DeliveryRefused):
            return self._refused(result)
        if isinstance(result, Exception):
            metrics.deliveries_unclear.inc()
            self._note_silence(result)
            self.again_at_s = time.monotonic() + AGAIN_S
            return Settled()
        self._note_success()
        return Settled(acknowledged=_started(self.queue.delivered()))

    def _refused(self, refusal: DeliveryRefused) -> Settled:
        metrics.records_refused.inc()
        self._note_silence(refusal)
        dropped = self.queue.refused()
        if dropped is None:
            return Settled()
        metrics.records_dropped.inc()
        if not self._dropping:
            self._dropping = True
            log.error(
                "a record is dropped: expected the topic to take what a node says, found a record refused of which"
                " nothing can be left out; raise max.message.bytes of the topic, or apply the policy again, which sets"
                " it",
                topic=JOBS,
                record=type(dropped).__name__,
                bytes=self._bytes_under_way(),
            )
        return Settled(unsaid=_started(dropped))

    def _note_silence(self, found: Exception) -> None:
        if self._silent_since_s is None:
            self._silent_since_s = time.monotonic()
        reason = str(found)
        if reason in self._reasons or len(self._reasons) == REASONS_MAX:
            return
        self._reasons.add(reason)
        log.warning(
            "not heard: expected the broker to take what this node says, found that it does not; reports wait."
            f" {_remedy(reason)}",
            topic=JOBS,
            partition=self._node.jobs_partition,
            found=reason,
            bytes=self._bytes_under_way(),
        )

    def _note_success(self) -> None:
        if self._silent_since_s is not None:
            log.info("heard again", topic=JOBS, after_s=round(time.monotonic() - self._silent_since_s, 1))
            self._silent_since_s, self._dropping = None, False
            self._reasons.clear()

    def progress(self, job: str, dispatch: str, fraction: float, message: str, *, is_phase: bool = False) -> None:
        """Tell whoever watches the job; at most four times a second, and lost if the broker is away. `is_phase`: one of
        a few words of our own, each of which is told, so that nobody reads of a phase that is long over."""
        now_s = time.monotonic()
        if not is_phase and now_s - self._progressed_s.get(dispatch, 0.0) < PROGRESS_EVERY_S:
            return
        self._progressed_s[dispatch] = now_s
        words = mended(message[:MESSAGE_CHARACTERS_MAX])
        progress = AttemptProgressed(job, dispatch, min(1.0, max(0.0, fraction)), words)
        headers = headers_for(progress, self._next_id(), self._source)
        try:
            self._producer.offer(PROGRESS, encode(progress), key=job.encode(), headers=headers)
        except DeliveryUnclear:
            return  # progress decides nothing

    def forget(self, dispatch: str) -> None:
        """There will be no more progress of this attempt."""
        self._progressed_s.pop(dispatch, None)

    def _post(self) -> None:
        if self._record_under_way is None:
            return
        try:
            jobs_writer.offer(self._producer, self._record_under_way, self._on_delivery)
        except DeliveryUnclear as error:
            self._on_delivery(error)

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._stream}.{self._number}"

    def _bytes_under_way(self) -> int:
        return len(self._record_under_way.value or b"") if self._record_under_way is not None else 0


def _remedy(reason: str) -> str:
    """What to do, in a sentence."""
    return next((words for part, words in REMEDIES.items() if part in reason), REMEDY)


def _started(record: NodeRecord) -> tuple[str, ...]:
    if not isinstance(record, NodeReport):
        return ()
    return tuple(report.dispatch for report in record.reports if isinstance(report, Started))
