"""A job's life in sentences, from the events of the ledger alone: what happened, when, at which offset, and why.

A story names nodes and other jobs, so it is for operators and auditors. What a user wrote is in no ledger, so it is in
no story.
"""

from __future__ import annotations

from typing import Any

import msgspec

from audit.ledger.reader import JobUnknown, LedgerSource
from contract import events as said
from contract.batch import Batch
from contract.chain import Chain, Counted
from contract.inputs import CancelRequested, EraseRequested, ErasureCompleted, actor_of
from contract.names import pool_of
from views.moments import duration, multiple, when
from views.words import JOB_EVENTS, words


class Chapter(msgspec.Struct, frozen=True):
    """One event of the job."""

    offset: int
    """Offset of its ledger record."""
    at_ms: int
    """Time by the pool's clock."""
    event: str
    sentence: str


class Story(msgspec.Struct, frozen=True):
    job: str
    chapters: tuple[Chapter, ...]
    summary: str


def story(job: str, source: LedgerSource) -> Story:
    """Tells a job's life. ValueError when `job` is no job id; JobUnknown; Damaged when the chain does not hold."""
    teller = _Teller(job)
    chain = Chain(pool_of(job))
    for record in source():
        judged = chain.offer(record.offset, record.value)
        if isinstance(judged, Counted):
            teller.hear(record.offset, judged.batch)
    if not teller.chapters:
        raise JobUnknown(
            f"expected {job} in the ledger of pool {chain.pool}, found no event that names it;"
            " if it was submitted just now, the scheduler has not read it yet"
        )
    return Story(job, tuple(teller.chapters), teller.summary())


def render(told: Story) -> str:
    """The story as text, one line for each chapter and the summary."""
    lines = [f"{told.job}"]
    for chapter in told.chapters:
        lines.append(f"  {when(chapter.at_ms)}  offset {chapter.offset:>6}  {chapter.sentence}")
    return "\n".join([*lines, f"  {told.summary}"])


class _Teller:
    def __init__(self, job: str) -> None:
        self.job = job
        self.chapters: list[Chapter] = []
        self._lives = 0
        self._begin()

    def _begin(self) -> None:
        """Another life begins: sums are those of the newest life."""
        self._submitted_ms = 0
        self._dispatched_ms = self._started_ms = 0
        self._waited_ms = self._ran_ms = 0
        self._queued_ms: int | None = None
        self._preparing_ms: int | None = None
        """Since when the job is preparing."""
        self._prepared_ms: int | None = None
        """None: the job had no media to prepare."""
        self._attempts = 0
        self._ended = ""
        self._ended_ms = 0

    def hear(self, offset: int, batch: Batch) -> None:
        for event in batch.events:
            if getattr(event, "job", "") != self.job:
                continue
            if type(event) in JOB_EVENTS:
                before = self._lives
                self._reckon(event, batch.now_ms)
                sentence = words(event) + self._more(event, batch)
                if self._lives > max(before, 1):
                    sentence += f"; life {self._lives} of this id, which was forgotten after the one before"
            elif isinstance(event, said.InputQuarantined):
                sentence = f"a copy of its submission was set aside in `quarantine`: {event.reason}"
            else:
                continue
            self.chapters.append(Chapter(offset, batch.now_ms, type(event).__name__, sentence))

    def _more(self, event: Any, batch: Batch) -> str:
        """What operators read beyond the sentence that the job's owner reads."""
        match event:
            case said.JobAccepted() | said.JobPreparing():
                lies = f"its words lie in `jobs` at {event.offset}"
                waits = f"; its wait counts from {when(event.submitted_ms)}"
                ends = f"; it has until {when(event.expires_ms)}" if event.expires_ms else ""
                return f" (model {event.model}, tenant {event.tenant}; {lies}{waits}{ends})"
            case said.PreparationOrdered():
                fraction = multiple(event.waited_ms, event.slo_ms)
                return (
                    f" (worker {event.node}, preparation {event.preparation}; wait fraction {fraction};"
                    f" {event.cluster} then had {event.open} of {event.limit} open)"
                )
            case said.InputsPrepared():
                parts = f"fetched in {duration(event.fetch_ms)}, checked in {duration(event.check_ms)}"
                made = f"decoded in {duration(event.decode_ms)}, {event.bytes} bytes, manifest {event.manifest[:19]}"
                return f" (preparation {event.preparation}; {parts}, {made})"
            case said.PreparationClosed() | said.InputsDropped():
                return f" (preparation {event.preparation})"
            case said.InputsRefused():
                return f" (preparation {event.preparation})" if event.preparation else ""
            case said.JobRefused() | said.JobDuplicated():
                return f" (`jobs` offset {event.offset})"
            case said.JobDispatched():
                return self._evidence(event)
            case said.AttemptFailed() | said.AttemptStarted() | said.JobSucceeded():
                return f" (dispatch {event.dispatch}{self._for(batch.now_ms)})"
            case said.AttemptClosed():
                return f" (dispatch {event.dispatch}{_silence(event, batch)})"
            case said.KillOrdered():
                return f" (dispatch {event.dispatch}{self._asked(event, batch)})"
            case said.RecallOrdered():
                return f" (dispatch {event.dispatch})"
            case said.JobCancelled() | said.JobCancelling() | said.ErasureOrdered():
                asked = self._asked(event, batch).removeprefix("; ")
                return f" ({asked})" if asked else ""
            case said.JobQuarantined():
                return f" ({', '.join(event.nodes)})"
            case said.JobErased():
                copies = ", ".join(str(offset) for offset in event.offsets) or "none"
                gone = f"no topic has them after {when(event.gone_by_ms)}"
                return f" (copies in `jobs`: {copies}; {gone}{self._asked(event, batch)})"
        return ""

    def _asked(self, event: Any, batch: Batch) -> str:
        """Who asked that the job be ended or erased: the event's actor. Of an event that names none, as of rules before
        5, whoever signed such a request in this batch. Empty when nobody signed."""
        if actor := getattr(event, "actor", ""):
            return f"; by order of {actor}"
        who = {
            actor_of(given)
            for given in batch.inputs
            if isinstance(given.body, CancelRequested | EraseRequested | ErasureCompleted)
            and given.body.job == self.job
            and given.signer
        }
        return f"; by order of {', '.join(sorted(who))}" if who else ""

    def _evidence(self, event: said.JobDispatched) -> str:
        fraction = multiple(event.waited_ms, event.slo_ms)
        behind = "nobody else could have gone"
        if event.next_job:
            behind = f"next in line was {event.next_job} at {multiple(event.next_waited_ms, event.next_slo_ms)}"
        held = f"held by {event.bound} until then" if event.bound != "nothing" else "nothing held it"
        return (
            f" (node {event.node}, dispatch {event.dispatch}; wait fraction {fraction}, {behind};"
            f" {event.cluster} then had {event.staged} of {event.limit} not started; {held})"
        )

    def _for(self, now_ms: int) -> str:
        return f", after {duration(now_ms - self._dispatched_ms)}" if self._dispatched_ms else ""

    # -- sums ---------------------------------------------------------------------------------------------------

    def _reckon(self, event: Any, now_ms: int) -> None:
        if isinstance(event, said.JobAccepted | said.JobPreparing | said.JobRefused):
            self._lives += 1
            self._begin()
        match event:
            case said.JobAccepted():
                self._submitted_ms = self._queued_ms = event.submitted_ms
            case said.JobPreparing():
                self._submitted_ms = self._preparing_ms = event.submitted_ms
            case said.InputsPrepared():
                self._prepared(now_ms)
                self._queued_ms = now_ms
            case said.InputsDropped():
                self._waited_ms += now_ms - self._queued_ms if self._queued_ms is not None else 0
                self._preparing_ms, self._queued_ms = now_ms, None
            case said.JobRequeued():
                self._queued_ms = now_ms
            case said.JobDispatched():
                self._attempts += 1
                self._waited_ms += now_ms - (self._queued_ms if self._queued_ms is not None else now_ms)
                self._dispatched_ms, self._started_ms, self._queued_ms = now_ms, 0, None
            case said.AttemptStarted():
                self._started_ms = now_ms
            case said.AttemptFailed() | said.AttemptClosed() | said.JobSucceeded():
                self._ran_ms += now_ms - self._started_ms if self._started_ms else 0
                self._started_ms = 0
        if isinstance(event, _ENDINGS) and not self._ended:
            self._ended, self._ended_ms = _ENDINGS_SAID[type(event)], now_ms
            if isinstance(event, said.JobCancelled) and event.reason == "version_withdrawn":
                self._ended = "ended with its version, which was withdrawn,"
            if self._queued_ms is not None:
                self._waited_ms += max(0, now_ms - self._queued_ms)
            self._prepared(now_ms)

    def _prepared(self, now_ms: int) -> None:
        """The job is preparing no more, if it was."""
        if self._preparing_ms is not None:
            self._prepared_ms = (self._prepared_ms or 0) + max(0, now_ms - self._preparing_ms)
            self._preparing_ms = None

    def summary(self) -> str:
        if not self._submitted_ms:
            return f"It {self._ended or 'was never accepted'}."
        life = f" (life {self._lives} of this id)" if self._lives > 1 else ""
        attempts = f"{self._attempts} attempt{'' if self._attempts == 1 else 's'}"
        prepared = f"preparing {duration(self._prepared_ms)}, " if self._prepared_ms is not None else ""
        spent = f"{prepared}queued {duration(self._waited_ms)}, running {duration(self._ran_ms)}, {attempts}"
        if not self._ended:
            return f"It has not ended: {spent}{life}."
        return f"It {self._ended} after {duration(max(0, self._ended_ms - self._submitted_ms))}: {spent}{life}."


def _silence(event: said.AttemptClosed, batch: Batch) -> str:
    if event.reason != "lost":
        return ""
    lost = [other.node for other in batch.events if isinstance(other, said.NodeLost)]
    return f"; lost in this batch: {', '.join(lost)}" if lost else ""


_ENDINGS_SAID: dict[type, str] = {
    said.JobSucceeded: "succeeded",
    said.JobRefused: "was refused",
    said.InputsRefused: "was refused for its media",
    said.JobDeadLettered: "was given up",
    said.JobQuarantined: "was set aside",
    said.JobCancelled: "was ended on request",
    said.JobExpired: "ended at its deadline",
}
_ENDINGS = tuple(_ENDINGS_SAID)
