"""Whether schedulers take what this process writes: the broker takes a record by whichever key it is signed.

A process whose key is in force no longer would acknowledge jobs that nobody accepts. So of each pool one job at a time
is remembered that this process wrote, until the pool's scheduler has read so far: then the views have a state of it
that the scheduler gave, or the record was set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from contract.lifecycle import JobState
from views import queries


class WrittenJob(NamedTuple):
    job: str
    offset: int
    """Of its record in `jobs`."""


class Heard:
    """Of one process. `note` is called in the event loop, `look` in a thread."""

    def __init__(self) -> None:
        self._written: dict[str, WrittenJob] = {}
        """By pool."""
        self._unheard: dict[str, str] = {}

    @property
    def unheard(self) -> Mapping[str, str]:
        """By pool, the newest job looked at, where the scheduler has set it aside."""
        return dict(self._unheard)

    def note(self, pool: str, written: WrittenJob) -> None:
        """The broker has this job. A job that is remembered already stays, else none would be old enough to look at."""
        self._written.setdefault(pool, written)

    def look(self, connection: Connection) -> None:
        """Ask the views what became of the jobs."""
        for pool, written in list(self._written.items()):
            state = queries.state_once_read(connection, pool, written.job, written.offset)
            if state is None:
                continue
            del self._written[pool]
            if state == JobState.SUBMITTED:
                self._unheard[pool] = written.job
            else:
                self._unheard.pop(pool, None)
