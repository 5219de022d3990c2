"""The orders to one session of a node: its cluster's dispatch partition, read without a consumer group.

The end offset is asked for before the node joins, and an order to a session can only be written after its join, so no
order is missed. A session has its own reader and thread: a new session leaves the old session's orders behind. A reader
that fails again and again is replaced by another at the same place, and so is one that stands still while the broker
has more: a node that sends heartbeats and hears nothing would hold its attempts for ever.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Protocol

import structlog

from contract.codec import Malformed
from contract.names import dispatch_partition
from contract.orders import Order
from contract.topics import dispatch_topic
from runtime.kafka import OffsetGone, Reader, Record, offsets, partitions
from runtime.kafka_credentials import Brokers
from runtime.kafka_reader import StartOffset
from runtime.worker import metrics
from runtime.worker.order_door import orders_of

log = structlog.get_logger(__name__)

RETRY_S = 1.0
WARN_EVERY_S = 30.0
PARTITIONS_EVERY_S = 60.0
"""How often to look whether the topic got more partitions, and whether the reader stands still."""

FAILURES_MAX = 3
"""How many reads may fail in a row before the reader is replaced."""

READ_S = 1.0
"""How long a read waits for an order. An order that comes ends the wait at once."""


class OrderListener(Protocol):
    """Who hears what an OrderReader reads. The reading thread makes both calls."""

    def positioned(self, session: str) -> None:
        """The reader reads every order to this session from here on: the node may join."""

    def ordered(self, orders: list[Order]) -> None:
        """Orders to this node, in log order."""


class OrderReader:
    """Reads from `start` until `stop`. Waits for a broker that is away, and for a topic that does not exist yet."""

    def __init__(
        self,
        brokers: Brokers,
        cluster: str,
        node: str,
        session: str,
        listener: OrderListener,
        *,
        partitions_every_s: float = PARTITIONS_EVERY_S,
    ) -> None:
        self._brokers = brokers
        self._topic = dispatch_topic(cluster)
        self._node = node
        self._session = session
        self._listener = listener
        self._partitions_every_s = partitions_every_s
        self._partition = -1
        self._places: tuple[tuple[str, int], ...] = ()
        """What is read: the node's partition, and its former partition where the topic grew."""
        self._behind: dict[tuple[str, int], int] = {}
        """By place, where the reader was at the last look, if the partition went on behind that."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"dispatches-{session[:8]}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, wait_s: float = 0.0) -> None:
        """Read no more. Waits at most `wait_s` for the thread."""
        self._stopping.set()
        if wait_s:
            self._thread.join(wait_s)

    def _run(self) -> None:
        reader = self._opened()
        if reader is None:
            return
        self._listener.positioned(self._session)
        look_s = time.monotonic() + self._partitions_every_s
        failures = 0
        while not self._stopping.is_set():
            try:
                self._hear(reader.read(READ_S))
                failures = 0
            except OffsetGone:
                log.error(
                    "orders lost: expected the dispatch topic to keep records for days, found it cut while this node"
                    " was away; the next heartbeats make the scheduler send what still holds",
                    topic=self._topic,
                )
                _close(reader)
                reader = self._opened()
                if reader is None:
                    return
            except Exception as error:  # whatever went wrong, this node must hear the next order
                failures += 1
                log.warning("dispatch topic not read", topic=self._topic, error=type(error).__name__, times=failures)
                self._stopping.wait(RETRY_S)
                if failures >= FAILURES_MAX:
                    reader, failures = self._renewed(reader), 0
            if time.monotonic() >= look_s:
                look_s = time.monotonic() + self._partitions_every_s
                reader = self._followed(reader)
                if self._stands_still(reader):
                    reader = self._renewed(reader)
        _close(reader)

    def _hear(self, records: list[Record]) -> None:
        orders = [order for record in records for order in self._read(record)]
        if orders:
            self._listener.ordered(orders)

    def _read(self, record: Record) -> list[Order]:
        def refused(reason: str) -> None:
            metrics.orders_refused.inc()
            log.warning(
                "order not read",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=reason,
            )

        try:
            return orders_of(record.value, self._node, refused)
        except Malformed as error:
            refused(str(error))
            return []

    def _opened(self) -> Reader | None:
        """A reader at the end of this node's partition, as soon as a broker answers; None when stopped before."""
        told_s = -WARN_EVERY_S
        while not self._stopping.is_set():
            try:
                self._partition = dispatch_partition(self._node, partitions(self._brokers, self._topic))
                return self._reading({(self._topic, self._partition): "end"})
            except Exception as error:  # the agent outlives any trouble of a broker, and the log says what it waits for
                if time.monotonic() - told_s > WARN_EVERY_S:
                    told_s = time.monotonic()
                    log.warning(
                        "waiting for the dispatch topic: expected a reachable broker that has it; is Kafka up, and is"
                        " the cluster in the policy that was applied?",
                        topic=self._topic,
                        error=type(error).__name__,
                    )
                self._stopping.wait(RETRY_S)
        return None

    def _followed(self, reader: Reader) -> Reader:
        """If the topic grew, this node's orders may go to another partition now: read that partition too, from its
        beginning. Orders may then overtake each other, which the node's rules allow for."""
        try:
            partition = dispatch_partition(self._node, partitions(self._brokers, self._topic))
            if partition == self._partition:
                return reader
            log.info("the dispatch topic grew", topic=self._topic, partition=partition, before=self._partition)
            before = (self._topic, self._partition)
            both = self._reading({before: reader.position(before), (self._topic, partition): "beginning"})
        except Exception as error:  # the next look will tell; until then the reader goes on
            log.warning("size of the dispatch topic not known", topic=self._topic, error=type(error).__name__)
            return reader
        _close(reader)
        self._partition = partition
        return both

    def _stands_still(self, reader: Reader) -> bool:
        """Whether the reader, which reports no error, has read nothing since the last look though the broker had more
        then and has more now."""
        before, self._behind = self._behind, {}
        try:
            for place in self._places:
                if reader.position(place) < offsets(self._brokers, *place)[1]:
                    self._behind[place] = reader.position(place)
        except Exception as error:  # a broker that does not answer shows nothing of the reader
            log.warning("end of the dispatch topic not known", topic=self._topic, error=type(error).__name__)
        return any(before.get(place) == position for place, position in self._behind.items())

    def _renewed(self, reader: Reader) -> Reader:
        """Another reader at the same place: a client that met a fatal error never reads again."""
        try:
            renewed = self._reading({place: reader.position(place) for place in self._places})
        except Exception as error:  # the broken reader stays until another can be made
            log.warning("dispatch reader not made anew", topic=self._topic, error=type(error).__name__)
            return reader
        log.warning("dispatch reader made anew", topic=self._topic)
        _close(reader)
        return renewed

    def _reading(self, starts: dict[tuple[str, int], StartOffset]) -> Reader:
        reader = Reader(self._brokers, starts, client_id=f"node-{self._node}")
        self._places = tuple(starts)
        return reader


def _close(reader: Reader) -> None:
    with contextlib.suppress(Exception):  # the reader may be broken, and an error at its end changes nothing
        reader.close()
