"""Consumer groups of the twin, as far as Headrace uses them: sharing partitions out, static members, commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, TopicPartition

from tests.twin.message import failure

if TYPE_CHECKING:
    from tests.twin.kafka import TwinKafka

Place = tuple[str, int]
Change = tuple[list[Place], list[Place]]
"""All that a member had, and all that it has now."""


class Member:
    def __init__(
        self, group: str, topics: Sequence[str], instance: str, session_s: float, is_reached: Callable[[], bool]
    ) -> None:
        self.group, self.topics, self.instance = group, tuple(topics), instance
        self.session_s, self.is_reached = session_s, is_reached
        self.assigned: list[Place] = []
        self.gone_at_s: float | None = None
        """When the group gives the member up, unless it is heard again."""
        self.is_fenced = False
        """Another process of this name has taken the place."""
        self._change: Change | None = None

    def give(self, places: list[Place], *, anew: bool) -> None:
        if anew or places != self.assigned:
            self._change = (self.assigned, places)
        self.assigned = places

    @property
    def has_change(self) -> bool:
        return self._change is not None

    def take_change(self) -> Change | None:
        """What has changed since the last call; None when nothing has."""
        change, self._change = self._change, None
        return change


class Groups:
    """Partitions are shared out in ranges, in the order in which members joined."""

    def __init__(self, kafka: TwinKafka) -> None:
        self._kafka = kafka
        self._members: dict[str, list[Member]] = {}
        self._committed: dict[str, dict[Place, int]] = {}

    def join(
        self, group: str, topics: Sequence[str], *, instance: str, session_s: float, is_reached: Callable[[], bool]
    ) -> Member:
        """A static member that comes back within its session has what it had, and nobody else notices."""
        member = Member(group, topics, instance, session_s, is_reached)
        members = self._members.setdefault(group, [])
        known = next((other for other in members if instance and other.instance == instance), None)
        if known is not None:
            known.is_fenced = True
            members[members.index(known)] = member
            member.give(known.assigned, anew=True)
        else:
            members.append(member)
            self.share_out(group)
        return member

    def leave(self, member: Member) -> None:
        """A static member that closes keeps its place until its session is over."""
        members = self._members.get(member.group, [])
        if member not in members:
            return
        if member.instance:
            member.gone_at_s = self._kafka.world.now_s() + member.session_s
            member.is_reached = lambda: False
            return
        members.remove(member)
        self.share_out(member.group)

    def kill(self, member: Member) -> None:
        """Its process is gone without a word."""
        member.is_reached = lambda: False

    def share_out(self, group: str) -> None:
        """A rebalance: everybody hears what is theirs now."""
        members = self._members.get(group, [])
        given: dict[int, list[Place]] = {number: [] for number in range(len(members))}
        for topic in sorted({topic for member in members for topic in member.topics}):
            takers = [number for number, member in enumerate(members) if topic in member.topics]
            partitions = self._kafka.partitions_of(topic)
            share, over = divmod(partitions, len(takers))
            first = 0
            for place, number in enumerate(takers):
                end = first + share + (place < over)
                given[number] += [(topic, partition) for partition in range(first, end)]
                first = end
        for number, member in enumerate(members):
            member.give(given[number], anew=True)
        self._kafka.world.changed()

    def commit(self, group: str, member: Member | None, places: Sequence[TopicPartition]) -> None:
        if member is not None and member.is_fenced:
            raise failure(KafkaError._FENCED)
        if member is not None and member not in self._members.get(group, []):
            raise failure(KafkaError.UNKNOWN_MEMBER_ID)
        kept = self._committed.setdefault(group, {})
        kept |= {(place.topic, place.partition): place.offset for place in places}

    def committed(self, group: str) -> dict[Place, int]:
        return self._committed.get(group, {})

    def members(self, group: str) -> list[Member]:
        return self._members.get(group, [])

    # -- time --------------------------------------------------------------------------------------------------------

    def work(self, now_s: float) -> None:
        """Give up members that were not heard for a session."""
        for group, members in self._members.items():
            for member in members:
                if member.is_reached():
                    member.gone_at_s = None
                elif member.gone_at_s is None:
                    member.gone_at_s = now_s + member.session_s
            over = [member for member in members if member.gone_at_s is not None and now_s >= member.gone_at_s]
            if over:
                self._members[group] = [member for member in members if member not in over]
                self.share_out(group)
                return

    def next_due_s(self) -> float:
        return min(
            (m.gone_at_s for members in self._members.values() for m in members if m.gone_at_s is not None),
            default=float("inf"),
        )
