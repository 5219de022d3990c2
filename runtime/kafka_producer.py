"""Writing records: idempotent, acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException

from contract.bounds import MESSAGE_BYTES_MAX
from runtime import kafka_clients
from runtime.kafka_credentials import Brokers
from runtime.kafka_records import (
    CLIENT,
    METADATA_TIMEOUT_S,
    Complaints,
    Delivery,
    DeliveryRefused,
    DeliveryUnclear,
    RecordHeaders,
)

log = structlog.get_logger(__name__)

BATCH_BYTES_MAX = 60_000
"""Records that wait together go out in one batch of at most this size; a larger record goes alone. A broker compares a
topic's `max.message.bytes`, which is 64 KiB plus a payload (contract.topics), with the batch, not with the record."""

WAITING_KBYTES_MAX = 65_536
"""What waits for a broker in one producer. Beyond this a record is not taken, and its sender waits or is told so."""

_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
_FORBIDDEN = (KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED)
FORBIDDEN_TODO = (
    "set HEADRACE_KAFKA_USER to the user of this process's role; `headrace topics acls` prints what each may"
)
POLL_S = 0.1

OnDelivery = Callable[[Delivery | Exception], None]


class Producer:
    """Writes records: idempotent, acknowledged by all in-sync replicas, in order per partition.

    Callbacks run on this producer's own thread. May be used from any thread.
    `delivery_timeout_ms`: after this time a record without an acknowledgement is unclear.
    """

    def __init__(
        self,
        brokers: Brokers,
        client_id: str,
        *,
        linger_ms: int = 0,
        delivery_timeout_ms: int = 10_000,
        in_bursts: bool = False,
    ) -> None:
        """`in_bursts`: for many small records that nobody waits for. One request is under way at a time, and the next
        request takes all records that came meanwhile; `on_delivery` hears of failures only."""
        self._config: dict[str, Any] = {
            **CLIENT,
            **brokers.librdkafka(),
            "client.id": client_id,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": linger_ms,
            "delivery.timeout.ms": delivery_timeout_ms,
            "socket.nagle.disable": True,
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "batch.size": BATCH_BYTES_MAX,
            "queue.buffering.max.kbytes": WAITING_KBYTES_MAX,
            "compression.type": "zstd",  # brokers unpack what goes to `jobs` (contract.topics)
            "topic.metadata.refresh.fast.interval.ms": 100,
            "error_cb": self._on_error,
        }
        if in_bursts:
            self._config |= {"max.in.flight.requests.per.connection": 1, "delivery.report.only.error": True}
        self._timeout_s = delivery_timeout_ms / 1000
        self._lock = threading.Lock()
        self._fatal = False
        self._unknown: set[str] = set()
        """Topics of which a caller named a partition that is not known here: the topics may have grown."""
        self._complaints = Complaints()
        self._inner = kafka_clients.producer(self._config)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"{client_id}-deliveries", daemon=True)
        self._thread.start()

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: RecordHeaders = (),
        partition: int | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Hand a record over. `on_delivery` gets a Delivery, or DeliveryUnclear (DeliveryRefused: for its size).

        Blocks while the local buffer is full, or while the partition is not known yet. DeliveryUnclear when that lasts
        longer than the delivery timeout.
        """
        deadline = time.monotonic() + self._timeout_s
        while not self._try_send(topic, value, key, headers, partition, on_delivery):
            if time.monotonic() > deadline:
                raise DeliveryUnclear(f"{_not_taken(topic)}, for {self._timeout_s} s")
            time.sleep(0.005)

    def offer(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: RecordHeaders = (),
        partition: int | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Like `send`, for an event loop: never waits. DeliveryUnclear at once when the record is not taken."""
        if not self._try_send(topic, value, key, headers, partition, on_delivery):
            raise DeliveryUnclear(_not_taken(topic))

    def send_and_wait(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: RecordHeaders = (),
        partition: int | None = None,
    ) -> Delivery:
        """Write a record and wait for its acknowledgement. DeliveryUnclear when there is none; DeliveryRefused, which
        is a DeliveryUnclear, when the broker refused the record for its size."""
        done = threading.Event()
        outcome: list[Delivery | Exception] = []

        def settle(result: Delivery | Exception) -> None:
            outcome.append(result)
            done.set()

        self.send(topic, value, key=key, headers=headers, partition=partition, on_delivery=settle)
        if not done.wait(2 * self._timeout_s + 1):
            raise DeliveryUnclear(f"no report on a record for {topic}: the producer was closed")
        return _delivered(outcome[0])

    async def asend(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: RecordHeaders = (),
        partition: int | None = None,
    ) -> Delivery:
        """Like `send_and_wait`, for a coroutine. The record may be written even if the wait is cancelled."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Delivery | Exception] = loop.create_future()

        def settle(result: Delivery | Exception) -> None:
            if not future.done():
                future.set_result(result)

        def on_delivery(result: Delivery | Exception) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result)

        deadline = loop.time() + self._timeout_s
        while not self._try_send(topic, value, key, headers, partition, on_delivery):
            if loop.time() > deadline:
                raise DeliveryUnclear(f"{_not_taken(topic)}, for {self._timeout_s} s")
            await asyncio.sleep(0.005)
        return _delivered(await future)

    def flush(self, timeout_s: float) -> int:
        """Wait until every record handed over is settled, at most `timeout_s`. Returns how many records are not
        settled."""
        try:
            return int(self._inner.flush(timeout_s))
        except KafkaException as error:
            self._on_error(error.args[0])
            return len(self._inner)

    def close(self) -> None:
        """Wait until every record handed over is settled, at most the delivery timeout, and stop the thread."""
        self.flush(self._timeout_s)
        self._closing.set()
        self._thread.join(5)

    def learn(self, topic: str) -> None:
        """Ask the broker how many partitions the topic has now: a record for a partition that is not known here is not
        taken. Blocks. KafkaException when the broker does not answer."""
        self._usable().list_topics(topic, timeout=METADATA_TIMEOUT_S)

    def _try_send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: RecordHeaders,
        partition: int | None,
        on_delivery: OnDelivery | None,
    ) -> bool:
        options: dict[str, Any] = {} if partition is None else {"partition": partition}
        if on_delivery is not None:
            options["on_delivery"] = _report_to(on_delivery)
        try:
            self._usable().produce(topic, value, key=key, headers=list(headers), **options)
        except BufferError:
            return False
        except KafkaException as error:
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                self._unknown.add(topic)
                return False
            raise _failure(topic, error.args[0]) from error
        return True

    def _usable(self) -> Any:
        """The inner producer; another inner producer after an error that ended the last for good."""
        with self._lock:
            if self._fatal:
                self._inner.purge()
                self._inner.poll(0)
                self._inner, self._fatal = kafka_clients.producer(self._config), False
            return self._inner

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = True
        if self._complaints.due() or error.fatal():
            todo = {"do": FORBIDDEN_TODO} if error.code() in _FORBIDDEN else {}
            log.warning("kafka producer", error=error.name(), fatal=error.fatal(), **todo)

    def _serve(self) -> None:
        """Make the calls that are due, as long as this producer is open. A principal that may write to no topic gets no
        number for its records from the broker: the library does not call `error_cb` for that, and raises here."""
        while not self._closing.is_set():
            try:
                self._inner.poll(POLL_S)
            except KafkaException as error:
                self._on_error(error.args[0])
                self._closing.wait(POLL_S)
            while self._unknown:
                with suppress(KafkaException):
                    self.learn(self._unknown.pop())


def _report_to(on_delivery: OnDelivery) -> Callable[[KafkaError | None, Any], None]:
    def report(error: KafkaError | None, message: Any) -> None:
        if error is not None:
            on_delivery(_failure(message.topic(), error))
        else:
            on_delivery(Delivery(message.partition(), message.offset(), message.timestamp()[1]))

    return report


def _failure(topic: str, error: KafkaError) -> DeliveryUnclear:
    kind = DeliveryRefused if error.code() in _TOO_LARGE else DeliveryUnclear
    return kind(f"{topic}: {error.name()}")


def _not_taken(topic: str) -> str:
    return f"a record for {topic} was not taken: the local buffer is full, or the topic has no such partition"


def _delivered(outcome: Delivery | Exception) -> Delivery:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
