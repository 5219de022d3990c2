"""confluent_kafka.Producer on the twin: idempotent, in order per partition, with every way in which a delivery ends."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from tests.twin.faults import Fate
from tests.twin.log import Entry, Headers, Kind
from tests.twin.message import TwinClusterMetadata, TwinMessage, failure

if TYPE_CHECKING:
    from tests.twin.kafka import TwinKafka, TwinTopic

QUEUED_MAX, QUEUED_KBYTES_MAX = 100_000, 1_048_576
"""Records that wait in a producer, and their bytes, by the library's defaults."""
TOPIC_WAIT_S = 30.0
"""A producer waits so long for a topic that does not exist."""
CLIENT_OVERHEAD_BYTES = 36
"""What the client adds to a record when it compares it with its own `message.max.bytes`."""
BATCH_BYTES = 61
"""What a batch adds to its records."""

Report = Callable[[], None]


class Sent:
    """A record that its producer has, and whose end nobody has heard."""

    def __init__(
        self,
        topic: str,
        partition: int,
        body: tuple[bytes | None, bytes | None, Headers],
        on_delivery: Callable[[KafkaError | None, TwinMessage], None] | None,
        at_s: float,
        deadline_s: float,
    ) -> None:
        self.topic, self.partition, self.on_delivery = topic, partition, on_delivery
        self.key, self.value, self.headers = body
        self.size = len(self.key or b"") + len(self.value or b"")
        self.at_s, self.deadline_s, self.sent_s = at_s, deadline_s, at_s
        self.is_lost = False
        """Written or not: the producer will hear no more of it and gives it up at `at_s`."""


class TwinProducer:
    def __init__(self, kafka: TwinKafka, config: Mapping[str, Any]) -> None:
        self._kafka = kafka
        self.client_id = str(config.get("client.id", "rdkafka"))
        self._error_cb = config.get("error_cb")
        self._is_broken = False
        """A fatal error has ended this producer."""
        self._timeout_s = config.get("delivery.timeout.ms", 300_000) / 1000
        self._bytes_max = config.get("message.max.bytes", 1_000_000)
        self._queued_bytes_max = 1024 * config.get("queue.buffering.max.kbytes", QUEUED_KBYTES_MAX)
        self._queued_bytes = 0
        self._queued_max = config.get("queue.buffering.max.messages", QUEUED_MAX)
        self._only_errors = config.get("delivery.report.only.error", False)
        self._transactional_id = str(config.get("transactional.id", ""))
        self._written_in_transaction: set[tuple[str, int]] = set()
        self._waiting: dict[tuple[str, int], deque[Sent]] = {}
        self._held: list[tuple[TwinTopic, int, Report]] = []
        self._reports: deque[Report] = deque()
        self._unsettled = 0
        self._is_alert = False
        """Somebody was refused a partition, or flushes: whoever polls looks around soon."""
        self._known: dict[str, int] = {}
        """How many partitions a topic had when this producer last asked."""
        with kafka.world.lock:
            kafka.producers.append(self)

    # -- as confluent_kafka.Producer ---------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        on_delivery: Callable[[KafkaError | None, TwinMessage], None] | None = None,
        headers: Headers = (),
    ) -> None:
        headers = list(headers or ())
        if _client_bytes(key, value, headers) > self._bytes_max:
            raise failure(KafkaError.MSG_SIZE_TOO_LARGE)
        with self._kafka.world.lock:
            self._kafka.work()
            if self._is_broken:
                raise failure(KafkaError._FATAL)
            size = len(value or b"") + len(key or b"")
            if self._unsettled >= self._queued_max or self._queued_bytes + size > self._queued_bytes_max:
                raise BufferError("Local: Queue full")
            known = self._known.get(topic)
            if partition is not None and known is not None and partition >= known:
                self._alert()
                raise failure(KafkaError._UNKNOWN_PARTITION)
            if partition is None:
                partition = self._partition_of(topic, key)
            now_s = self._kafka.world.now_s()
            sent = Sent(topic, partition, (key, value, headers), on_delivery, now_s, now_s + self._timeout_s)
            sent.at_s += self._kafka.faults.delay_s()
            self._waiting.setdefault((topic, partition), deque()).append(sent)
            self._unsettled += 1
            self._queued_bytes += size
            self._kafka.busy[self] = None
            self._kafka.work()
            self._kafka.world.changed()

    def poll(self, timeout: float = -1) -> int:
        """Make the calls that are due; their number."""
        with self._kafka.world.lock:
            if timeout:
                timeout = max(timeout, self._kafka.world.idle_s) if timeout > 0 else float("inf")
            self._kafka.wait_until(lambda: self._reports or self._is_alert, timeout)
            self._is_alert = False
            reports = list(self._reports)
            self._reports.clear()
        for report in reports:
            report()
        return len(reports)

    def flush(self, timeout: float = -1) -> int:
        world = self._kafka.world
        self._alert()
        over_s = world.now_s() + (timeout if timeout >= 0 else float("inf"))
        while self._unsettled and world.now_s() < over_s:
            with world.lock:
                self._kafka.wait_until(lambda: self._reports or not self._unsettled, over_s - world.now_s())
            self.poll(0)
        self.poll(0)
        self._alert()
        return self._unsettled

    def _alert(self) -> None:
        with self._kafka.world.lock:
            self._is_alert = True
            self._kafka.world.changed()

    def purge(self) -> None:
        with self._kafka.world.lock:
            for queue in self._waiting.values():
                while queue:
                    self._settle(queue.popleft(), KafkaError._PURGE_QUEUE)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> TwinClusterMetadata:
        found = self._kafka.metadata(self.client_id, topic, timeout if timeout >= 0 else float("inf"))
        self._known |= {name: len(about.partitions) for name, about in found.topics.items() if about.partitions}
        return found

    def __len__(self) -> int:
        return self._unsettled

    def init_transactions(self, timeout: float = -1) -> None:
        pass

    def begin_transaction(self) -> None:
        self._written_in_transaction.clear()

    def commit_transaction(self, timeout: float = -1) -> None:
        self._finish(Kind.COMMIT)

    def abort_transaction(self, timeout: float = -1) -> None:
        self._finish(Kind.ABORT)

    def break_(self) -> None:
        """A fatal error: what is under way is given up, and nothing more is taken."""
        with self._kafka.world.lock:
            self._is_broken = True
            for queue in self._waiting.values():
                while queue:
                    self._settle(queue.popleft(), KafkaError._FATAL)
        if self._error_cb is not None:
            self._error_cb(KafkaError(KafkaError._FATAL, "broken by a test", fatal=True))

    # -- what the broker does with it --------------------------------------------------------------------------------

    def work(self, now_s: float) -> None:
        for queue in self._waiting.values():
            while queue and self._is_done(queue[0], now_s):
                queue.popleft()
        for topic, partition, report in list(self._held):
            if partition not in topic.held_acks:
                self._held.remove((topic, partition, report))
                self._report(report)
        if not self._unsettled:
            self._kafka.busy.pop(self, None)

    def next_due_s(self) -> float:
        """When time alone changes something."""
        dues = [float("inf")]
        for queue in self._waiting.values():
            if queue:
                head = queue[0]
                dues += [head.deadline_s, head.sent_s + TOPIC_WAIT_S]
                if self._kafka.is_reached_by(self.client_id) or head.is_lost:
                    dues.append(head.at_s)
        now_s = self._kafka.world.now_s()
        return min((due for due in dues if due > now_s), default=float("inf"))

    def _is_done(self, sent: Sent, now_s: float) -> bool:
        """Whether the record needs no more of the broker."""
        topic = self._kafka.topics.get(sent.topic)
        if now_s >= sent.deadline_s or (sent.is_lost and now_s >= sent.at_s):
            return self._settle(sent, KafkaError._MSG_TIMED_OUT)
        if sent.is_lost or now_s < sent.at_s or not self._kafka.is_reached_by(self.client_id):
            return False
        if topic is None:
            return now_s >= sent.sent_s + TOPIC_WAIT_S and self._settle(sent, KafkaError._UNKNOWN_TOPIC)
        self._known.setdefault(sent.topic, len(topic.logs))
        if sent.partition in topic.held_writes:
            return False
        if sent.partition >= len(topic.logs):
            return self._settle(sent, KafkaError._UNKNOWN_PARTITION)
        if batch_bytes(sent.key, sent.value, sent.headers) > topic.record_bytes_max:
            return self._settle(sent, KafkaError.MSG_SIZE_TOO_LARGE)
        fate = self._kafka.faults.fate(sent.topic)
        if fate is not Fate.LOST:
            entry = self._write(topic, sent)
        if fate is Fate.WRITTEN:
            self._settle_written(topic, sent, entry)
            return True
        sent.is_lost = True
        patience_s = self._kafka.faults.unclear_after_s
        sent.at_s = now_s + patience_s if patience_s is not None else sent.deadline_s
        return self._is_done(sent, now_s)

    def _write(self, topic: TwinTopic, sent: Sent) -> Entry:
        if self._transactional_id:
            self._written_in_transaction.add((sent.topic, sent.partition))
        entry = topic.logs[sent.partition].append(
            self._kafka.now_ms(), sent.key, sent.value, sent.headers, self._transactional_id
        )
        self._kafka.world.changed()
        return entry

    def _settle_written(self, topic: TwinTopic, sent: Sent, entry: Entry) -> None:
        report = self._report_of(sent, None, TwinMessage(sent.topic, sent.partition, entry))
        if sent.partition in topic.held_acks:
            self._held.append((topic, sent.partition, report))
        else:
            self._report(report)

    def _settle(self, sent: Sent, code: int) -> bool:
        nowhere = Entry(-1001, 0, sent.key, sent.value, sent.headers)
        message = TwinMessage(sent.topic, sent.partition, nowhere, KafkaError(code))
        self._report(self._report_of(sent, KafkaError(code), message))
        return True

    def _report_of(self, sent: Sent, error: KafkaError | None, message: TwinMessage) -> Report:
        on_delivery = sent.on_delivery
        self._queued_bytes -= sent.size
        if on_delivery is None or (error is None and self._only_errors):
            return lambda: None
        return lambda: on_delivery(error, message)

    def _report(self, report: Report) -> None:
        self._unsettled -= 1
        self._reports.append(report)
        self._kafka.world.changed()

    def _finish(self, kind: Kind) -> None:
        self.flush()
        with self._kafka.world.lock:
            for topic, partition in sorted(self._written_in_transaction):
                log = self._kafka.topics[topic].logs[partition]
                log.finish(self._kafka.now_ms(), self._transactional_id, kind)
            self._kafka.world.changed()

    def _partition_of(self, topic: str, key: bytes | None) -> int:
        number = self._kafka.partitions_of(topic) or 1
        return zlib.crc32(key) % number if key else self._kafka.faults.random.randrange(number)


def _client_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    return CLIENT_OVERHEAD_BYTES + len(key or b"") + len(value or b"") + _headers_bytes(headers)


def batch_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """The size of a batch of this record alone, as the broker compares it with `max.message.bytes`."""
    body = 3 + _sized(key) + _sized(value) + _number_bytes(len(headers)) + _headers_bytes(headers)
    return BATCH_BYTES + _number_bytes(body) + body


def _headers_bytes(headers: Headers) -> int:
    names = [name if isinstance(name, bytes) else name.encode() for name, _ in headers]
    return sum(_sized(name) for name in names) + sum(_sized(value) for _, value in headers)


def _sized(text: bytes | None) -> int:
    """The bytes of a text behind its length."""
    return 1 if text is None else _number_bytes(len(text)) + len(text)


def _number_bytes(number: int) -> int:
    """A number in zigzag code, 7 bits a byte."""
    return max(1, -(-(number << 1).bit_length() // 7))
