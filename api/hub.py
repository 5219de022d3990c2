"""Who watches which job, in this process. The feed and the progress reader deliver here, event streams wait here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec
from cachetools import LRUCache

from contract.names import dispatch_order
from contract.side_topics import AttemptProgressed
from views.rows import JobEventRow

STREAMS_MAX = 2_000
STREAMS_EACH_MAX = 500
"""Of one tenant."""
PROGRESS_KEPT_MAX = 10_000
"""The newest progress of this many jobs is kept, for whoever begins to watch them. Its words are cut
to MESSAGE_CHARACTERS_MAX."""
MESSAGE_CHARACTERS_MAX = 200
UNSENT_MAX = 100
"""Events that wait for one slow reader. The feed reads the rest again when the reader has taken these."""

TenantJob = tuple[str, str]
"""(tenant, job)."""
FeedPosition = tuple[int, int]
"""(seq, index) of a job's event."""


class Subscription:
    """What one stream has not sent yet of one job. A slow reader skips old progress, and never an event."""

    def __init__(self, key: TenantJob, seen: FeedPosition, on_room: Callable[[], None]) -> None:
        """`on_room()` hears that there is room again after there was none."""
        self.key = key
        self.seen = seen
        self._on_room = on_room
        self.ready = asyncio.Event()
        self.closed = False
        self._events: list[JobEventRow] = []
        self._progress: AttemptProgressed | None = None

    def take(self) -> tuple[list[JobEventRow], AttemptProgressed | None]:
        """What has arrived since the last call."""
        self.ready.clear()
        if self.is_full:
            self._on_room()
        events, self._events = self._events, []
        progress, self._progress = self._progress, None
        return events, progress

    @property
    def is_full(self) -> bool:
        """So much is not sent that no more events are taken now."""
        return len(self._events) >= UNSENT_MAX

    def give_events(self, events: Iterable[JobEventRow]) -> None:
        for event in events:
            if self.is_full:
                return
            if (event.seq, event.index) > self.seen:
                self.seen = (event.seq, event.index)
                self._events.append(event)
                self.ready.set()

    def give_progress(self, progress: AttemptProgressed) -> None:
        self._progress = progress
        self.ready.set()

    def close(self) -> None:
        self.closed = True
        self.ready.set()


class Hub:
    """Used in the event loop only."""

    def __init__(self) -> None:
        self._watchers: dict[TenantJob, set[Subscription]] = {}
        self._jobs: dict[str, set[TenantJob]] = {}
        self._newest: LRUCache[str, AttemptProgressed] = LRUCache(PROGRESS_KEPT_MAX)
        self._closed = False
        self.count = 0
        self._of_tenant: Counter[str] = Counter()
        self.changed = asyncio.Event()
        """Set when views changed and when somebody begins to watch. Then the feed has to ask what happened."""

    @property
    def is_full(self) -> bool:
        """STREAMS_MAX streams are open in this process."""
        return self.count >= STREAMS_MAX

    def is_full_for(self, tenant: str) -> bool:
        """STREAMS_EACH_MAX streams of this tenant are open in this process."""
        return self._of_tenant[tenant] >= STREAMS_EACH_MAX

    def subscribe(self, tenant: str, job: str, seen: FeedPosition) -> Subscription:
        """Watches a job from after `seen` on, until `unsubscribe`."""
        subscription = Subscription((tenant, job), seen, self.changed.set)
        self.count += 1
        self._of_tenant[tenant] += 1
        self._watchers.setdefault(subscription.key, set()).add(subscription)
        self._jobs.setdefault(job, set()).add(subscription.key)
        newest = self.progress_of(job)
        if newest is not None:
            subscription.give_progress(newest)
        if self._closed:
            subscription.close()
        self.changed.set()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Once for each `subscribe`."""
        key = subscription.key
        self.count -= 1
        self._of_tenant[key[0]] -= 1
        if not self._of_tenant[key[0]]:
            del self._of_tenant[key[0]]
        self._watchers[key].discard(subscription)
        if not self._watchers[key]:
            del self._watchers[key]
            self._jobs[key[1]].discard(key)
            if not self._jobs[key[1]]:
                del self._jobs[key[1]]

    def watched(self) -> dict[TenantJob, FeedPosition]:
        """Every job whose watchers take events now, with the place up to which all of those have seen its events."""
        places = {key: [one.seen for one in its if not one.is_full] for key, its in self._watchers.items()}
        return {key: min(seen) for key, seen in places.items() if seen}

    def give_events(self, events: Iterable[JobEventRow]) -> None:
        """Events of watched jobs, in order."""
        by_job: dict[str, list[JobEventRow]] = {}
        for event in events:
            by_job.setdefault(event.job, []).append(event)
        for job, its in by_job.items():
            for subscription in self._of(job):
                subscription.give_events(its)

    def give_progress(self, arrived: Iterable[AttemptProgressed]) -> None:
        """Progress of any jobs. Progress of an older attempt, or of no attempt, is passed over."""
        for progress in arrived:
            known = self._newest.get(progress.job)
            try:
                if known is not None and dispatch_order(progress.dispatch) < dispatch_order(known.dispatch):
                    continue
                dispatch_order(progress.dispatch)
            except ValueError:
                continue
            if len(progress.message) > MESSAGE_CHARACTERS_MAX:
                progress = msgspec.structs.replace(progress, message=progress.message[:MESSAGE_CHARACTERS_MAX])
            self._newest[progress.job] = progress
            for subscription in self._of(progress.job):
                subscription.give_progress(progress)

    def progress_of(self, job: str) -> AttemptProgressed | None:
        """The newest progress of the job that this process knows of."""
        return self._newest.get(job)

    def close(self) -> None:
        """Ends every stream, and those to come."""
        self._closed = True
        for watchers in self._watchers.values():
            for subscription in watchers:
                subscription.close()

    def _of(self, job: str) -> Iterator[Subscription]:
        for key in self._jobs.get(job, ()):
            yield from self._watchers.get(key, ())
