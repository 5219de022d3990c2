"""The orders to one session of a node: its cluster's dispatch partition, read without a consumer group.

The end offset is asked for before the node joins, and an order to a session can only be written after its join, so
none is missed. A session has its own reader and thread: a new session leaves the old one's orders behind.
"""

from __future__ import annotations

import threading
import time

import structlog

from contract.codec import Malformed, decode_order
from contract.names import dispatch_partition
from contract.orders import Order
from contract.topics import dispatch_topic
from gpu_worker.node import Listener
from runtime.kafka import OffsetGone, Reader, Record, partitions

log = structlog.get_logger(__name__)

RETRY_S = 1.0
WARN_EVERY_S = 30.0
PARTITIONS_EVERY_S = 60.0
"""How often to look whether the topic has more partitions than it had."""

READ_S = 1.0
"""How long a read waits for an order; one that comes ends the wait at once."""


class Dispatches:
    """Reads from `start` on until `stop`; a broker that is away, or a topic that is not there yet, is waited for."""

    def __init__(
        self,
        bootstrap: str,
        cluster: str,
        node: str,
        session: str,
        listener: Listener,
        *,
        partitions_every_s: float = PARTITIONS_EVERY_S,
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = dispatch_topic(cluster)
        self._node = node
        self._session = session
        self._listener = listener
        self._partitions_every_s = partitions_every_s
        self._partition = -1
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"dispatches-{session[:8]}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, wait_s: float = 0.0) -> None:
        """Read no more; waits at most `wait_s` for the thread."""
        self._stopping.set()
        if wait_s:
            self._thread.join(wait_s)

    def _run(self) -> None:
        reader = self._opened()
        if reader is None:
            return
        self._listener.positioned(self._session)
        look_s = time.monotonic() + self._partitions_every_s
        while not self._stopping.is_set():
            try:
                self._hear(reader.read(READ_S))
                if time.monotonic() >= look_s:
                    look_s = time.monotonic() + self._partitions_every_s
                    reader = self._followed(reader)
            except OffsetGone:
                log.error(
                    "orders lost: expected the dispatch topic to keep records for days, found it cut while this node"
                    " was away; the next heartbeats make the scheduler send what still holds",
                    topic=self._topic,
                )
                reader.close()
                reader = self._opened()
                if reader is None:
                    return
            except Exception as error:  # whatever it was, this node must hear the next order
                log.warning("dispatch topic not read", topic=self._topic, error=type(error).__name__)
                self._stopping.wait(RETRY_S)
        reader.close()

    def _hear(self, records: list[Record]) -> None:
        orders = [order for order in map(self._read, records) if order is not None]
        if orders:
            self._listener.ordered(orders)

    def _read(self, record: Record) -> Order | None:
        try:
            order = decode_order(record.value)
        except Malformed as error:
            log.warning("order not read", topic=record.topic, offset=record.offset, reason=str(error))
            return None
        return order if order.node == self._node else None

    def _opened(self) -> Reader | None:
        """A reader at the end of this node's partition, as soon as that works; None when stopped before."""
        told_s = -WARN_EVERY_S
        while not self._stopping.is_set():
            try:
                self._partition = dispatch_partition(self._node, partitions(self._bootstrap, self._topic))
                return Reader(self._bootstrap, {(self._topic, self._partition): "end"}, client_id=f"node-{self._node}")
            except Exception as error:  # the agent outlives any broker trouble, and says what it waits for
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
        """The topic may have grown, and this node's orders go to another partition now: read that one, too, from its
        beginning. Orders that overtake each other meet the desk's rules."""
        partition = dispatch_partition(self._node, partitions(self._bootstrap, self._topic))
        if partition == self._partition:
            return reader
        log.info("the dispatch topic grew", topic=self._topic, partition=partition, before=self._partition)
        before = (self._topic, self._partition)
        both = Reader(
            self._bootstrap,
            {before: reader.position(before), (self._topic, partition): "beginning"},
            client_id=f"node-{self._node}",
        )
        reader.close()
        self._partition = partition
        return both
