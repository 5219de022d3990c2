"""confluent_kafka.Consumer on the twin: by assign(), or as a member of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    OFFSET_STORED,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from tests.twin.log import PartitionLog
from tests.twin.message import TwinClusterMetadata, TwinMessage, failure

if TYPE_CHECKING:
    from tests.twin.groups import Member
    from tests.twin.kafka import TwinKafka

Place = tuple[str, int]


class TwinConsumer:
    def __init__(self, kafka: TwinKafka, config: Mapping[str, Any]) -> None:
        self._kafka, self._config = kafka, config
        self.client_id = str(config.get("client.id", "rdkafka"))
        self.is_closed = False
        self.failing_polls = 0
        """How many polls fail; below 0: every one."""
        self.fails_at_close = self.is_deaf = False
        self._committed_only = config.get("isolation.level", "read_committed") == "read_committed"
        self._tells_ends = config.get("enable.partition.eof", False)
        self._reset = config.get("auto.offset.reset", "largest")
        self._positions: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._told_ends: dict[Place, int] = {}
        self._told_away = False
        self._unassigned_errors: list[TwinMessage] = []
        self._member: Member | None = None
        with kafka.world.lock:
            kafka.consumers.append(self)

    # -- as confluent_kafka.Consumer ---------------------------------------------------------------------------------

    def assign(self, places: list[TopicPartition]) -> None:
        self._usable()
        with self._kafka.world.lock:
            self._told_ends.clear()
            self._paused.clear()
            self._unassigned_errors.clear()
            self._positions = {(place.topic, place.partition): place.offset for place in places}

    def unassign(self) -> None:
        self.assign([])

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._positions]

    def subscribe(
        self,
        topics: list[str],
        on_assign: Callable[[Any, list[TopicPartition]], None] | None = None,
        on_revoke: Callable[[Any, list[TopicPartition]], None] | None = None,
    ) -> None:
        self._usable()
        self._on_assign, self._on_revoke = on_assign, on_revoke
        with self._kafka.world.lock:
            self._member = self._kafka.groups.join(
                str(self._config["group.id"]),
                topics,
                instance=str(self._config.get("group.instance.id", "")),
                session_s=self._config.get("session.timeout.ms", 45_000) / 1000,
                is_reached=lambda: self._kafka.is_reached_by(self.client_id),
            )

    def poll(self, timeout: float = -1) -> TwinMessage | None:
        """The next message; None when there is none in time."""
        found = self._take(1, timeout)
        return found[0] if found else None

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[TwinMessage]:
        """Waits until there are so many, or the time is over."""
        world = self._kafka.world
        over_s = world.now_s() + (timeout if timeout >= 0 else float("inf"))
        found = self._take(num_messages, 0)
        while len(found) < num_messages and world.now_s() < over_s:
            found += self._take(num_messages - len(found), over_s - world.now_s())
        return found

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(p.topic, p.partition, self._positions.get((p.topic, p.partition), OFFSET_INVALID))
            for p in places
        ]

    def seek(self, place: TopicPartition) -> None:
        self._usable()
        with self._kafka.world.lock:
            if (place.topic, place.partition) not in self._positions:
                raise failure(KafkaError._STATE)
            self._told_ends.pop((place.topic, place.partition), None)
            self._positions[place.topic, place.partition] = place.offset

    def pause(self, places: list[TopicPartition]) -> None:
        self._paused |= {(place.topic, place.partition) for place in places}

    def resume(self, places: list[TopicPartition]) -> None:
        with self._kafka.world.lock:
            self._paused -= {(place.topic, place.partition) for place in places}
            self._kafka.world.changed()

    def commit(self, offsets: list[TopicPartition] | None = None, asynchronous: bool = True) -> list[TopicPartition]:
        places = offsets or [TopicPartition(*place, offset) for place, offset in self._positions.items()]
        with self._kafka.world.lock:
            self._reached(10.0, KafkaError._TIMED_OUT)
            self._kafka.groups.commit(str(self._config["group.id"]), self._member, places)
        return places

    def committed(self, places: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        with self._kafka.world.lock:
            self._reached(timeout, KafkaError._TIMED_OUT)
            found = self._kafka.groups.committed(str(self._config["group.id"]))
        return [TopicPartition(p.topic, p.partition, found.get((p.topic, p.partition), OFFSET_INVALID)) for p in places]

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        with self._kafka.world.lock:
            self._usable()
            self._reached(timeout, KafkaError._ALL_BROKERS_DOWN)
            log = self._log((place.topic, place.partition))
            if log is None:
                known = place.topic in self._kafka.topics
                raise failure(KafkaError._UNKNOWN_PARTITION if known else KafkaError.UNKNOWN_TOPIC_OR_PART)
            return log.start, log.end_for(committed=self._committed_only)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> TwinClusterMetadata:
        self._usable()
        return self._kafka.metadata(self.client_id, topic, timeout if timeout >= 0 else float("inf"))

    def close(self) -> None:
        with self._kafka.world.lock:
            self.is_closed = True
            if self._member is not None:
                self._kafka.groups.leave(self._member)
            self._positions.clear()
            self._kafka.world.changed()
        if self.fails_at_close:
            raise KafkaException(KafkaError(KafkaError._FATAL, "broken by a test", fatal=True))

    # -- fetching ----------------------------------------------------------------------------------------------------

    def _take(self, number: int, timeout: float) -> list[TwinMessage]:
        self._usable()
        found: list[TwinMessage] = []

        def look() -> bool:
            if self.failing_polls:
                self.failing_polls -= self.failing_polls > 0
                raise KafkaException(KafkaError(KafkaError._FATAL, "broken by a test", fatal=True))
            if self.is_deaf:
                return False
            self._follow_group()
            while len(found) < number and (message := self._next()) is not None:
                found.append(message)
            return bool(found) or self.is_closed

        with self._kafka.world.lock:
            self._kafka.wait_until(look, timeout if timeout >= 0 else float("inf"))
        return found

    def _next(self) -> TwinMessage | None:
        if not self._kafka.is_reached_by(self.client_id):
            if self._told_away or not self._positions:
                return None
            self._told_away = True
            return TwinMessage("", -1, None, KafkaError(KafkaError._ALL_BROKERS_DOWN))
        self._told_away = False
        for place in list(self._positions):
            if place not in self._paused and (message := self._next_of(place)) is not None:
                if place in self._positions:
                    self._positions[place] = self._positions.pop(place)  # the others have their turn
                return message
        return None

    def _next_of(self, place: Place) -> TwinMessage | None:
        log = self._log(place)
        if log is None:
            return self._told_once(place, -1, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        position = self._positions[place]
        if position < 0:
            position = self._positions[place] = self._logical(place, position, log)
        if not log.start <= position <= log.end:
            return self._out_of_range(place, log)
        for entry in log.from_offset(position, committed=self._committed_only):
            self._positions[place] = entry.offset + 1
            return TwinMessage(*place, entry)
        end = log.end_for(committed=self._committed_only)
        self._positions[place] = max(position, end)
        if self._tells_ends:
            return self._told_once(place, end, KafkaError(KafkaError._PARTITION_EOF))
        return None

    def _told_once(self, place: Place, end: int, error: KafkaError) -> TwinMessage | None:
        """The error, unless it was told since the partition last had something else."""
        if self._told_ends.get(place) == end:
            return None
        self._told_ends[place] = end
        return TwinMessage(*place, None, error)

    def _out_of_range(self, place: Place, log: PartitionLog) -> TwinMessage | None:
        if self._reset == "error":
            del self._positions[place]  # as the library: nothing more comes from there
            return TwinMessage(*place, None, KafkaError(KafkaError._AUTO_OFFSET_RESET, "fetch failed: out of range"))
        first = self._reset in ("earliest", "smallest", "beginning")
        self._positions[place] = log.start if first else log.end_for(committed=self._committed_only)
        return self._next_of(place)

    def _logical(self, place: Place, position: int, log: PartitionLog) -> int:
        if position in (OFFSET_INVALID, OFFSET_STORED):
            position = self._kafka.groups.committed(str(self._config["group.id"])).get(place, -1)
            if position >= 0:
                return position
            position = OFFSET_BEGINNING if self._reset in ("earliest", "smallest", "beginning") else OFFSET_END
        return log.start if position == OFFSET_BEGINNING else log.end_for(committed=self._committed_only)

    def _follow_group(self) -> None:
        """Take over what the group has assigned, if that has changed."""
        if self._member is None or not (change := self._member.take_change()):
            return
        revoked, assigned = change
        if self._on_revoke is not None and revoked:
            self._on_revoke(self, [TopicPartition(*place) for place in revoked])
        self._told_ends.clear()
        self._positions = dict.fromkeys(assigned, OFFSET_INVALID)
        if self._on_assign is not None:
            self._on_assign(self, [TopicPartition(*place) for place in assigned])

    def _log(self, place: Place) -> PartitionLog | None:
        topic = self._kafka.topics.get(place[0])
        return topic.logs[place[1]] if topic is not None and 0 <= place[1] < len(topic.logs) else None

    def _reached(self, timeout: float, code: int) -> None:
        timeout_s = timeout if timeout >= 0 else float("inf")
        if not self._kafka.wait_until(lambda: self._kafka.is_reached_by(self.client_id), timeout_s):
            raise failure(code)

    def _usable(self) -> None:
        if self.is_closed:
            raise RuntimeError("Consumer closed")
