"""A topic that has grown is shared out again within seconds, whatever was killed meanwhile.

Theory of operation. The leader of a group shares out the partitions that it knows. Only the leader looks whether the
topic has grown, and only every few minutes. A member that comes back within its session (our members are known to the
group) gets what it had, and nobody asks whether that is still all there is. So each assignment says for how many
partitions it was made. Every member compares that number with the topic, every second, and joins anew when the topic
has more. When a member joins anew the broker gives it what it had, unless that member is the leader: then everybody
joins, and the whole topic is shared out. A process that is started in the place of a dead leader is the leader to the
broker, though nobody tells the process so. A leader that stays away is replaced when its session is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import structlog
from faust.assignor import PartitionAssignor

LOOK_EVERY_S = 0.5
METADATA_MAX_AGE_MS = 1_000
"""A member's knowledge of the topic may be this old."""
JOIN_AGAIN_S = 3.0
JOIN_AGAIN_MAX_S = 60.0
"""Between two joins for the same partitions, longer each time. While an older release leads the group, joining anew
does not help: its assignments do not say for how many partitions they were made."""

_COVERS = "partitions of "

log = structlog.get_logger(__name__)


class Assignor(PartitionAssignor):
    """Faust's assignor, but its assignments say for how many partitions of each topic they were made.

    That number travels among the numbers by topic that Faust's assignments carry, so older releases can read them."""

    assigned = False
    """This process has been given an assignment, be it an empty one."""

    def covered(self, topic: str) -> int:
        """For how many partitions of `topic` the assignment in force was made; 0 when it does not say."""
        return int(self._topic_groups.get(_COVERS + topic, 0))

    def on_assignment(self, assignment: Any) -> None:
        super().on_assignment(assignment)
        self.assigned = True

    def _protocol_assignments(
        self, assignments: Any, changelog_distribution: Any, external_topic_distribution: Any, topic_groups: Any
    ) -> Any:
        covers: Counter[str] = Counter()
        for assignment in assignments.values():
            for topic, partitions in assignment.actives.items():
                covers[_COVERS + topic] += len(partitions)
        return super()._protocol_assignments(
            assignments, changelog_distribution, external_topic_distribution, {**topic_groups, **covers}
        )


async def keep_whole(app: Any, topic: str) -> None:
    """Join the group anew, for ever, whenever the topic has partitions that are not shared out."""
    loop, assignor = asyncio.get_running_loop(), app.assignor
    rest_s, not_before_s = JOIN_AGAIN_S, 0.0
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        found, covered = _partitions(app, topic), assignor.covered(topic)
        if found <= covered:
            rest_s, not_before_s = JOIN_AGAIN_S, 0.0
        elif assignor.assigned and loop.time() >= not_before_s:
            not_before_s, rest_s = loop.time() + rest_s, min(2 * rest_s, JOIN_AGAIN_MAX_S)
            log.info("partitions are not shared out: joining anew", topic=topic, partitions=found, shared_out=covered)
            _join_anew(app)


def _partitions(app: Any, topic: str) -> int:
    """How many partitions the topic has, as far as this member knows."""
    consumer = app.consumer._thread._consumer
    return len(consumer._client.cluster.partitions_for_topic(topic) or ()) if consumer is not None else 0


def _join_anew(app: Any) -> None:
    """Asks for a join in the thread of the consumer, where joins are made."""
    thread = app.consumer._thread
    thread.thread_loop.call_soon_threadsafe(thread._consumer._coordinator.request_rejoin)
