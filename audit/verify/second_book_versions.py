"""The second book of versions: what was withdrawn, which jobs ran it all the same, and who was pinned anew (I12)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contract import events as said


class _Pinned(msgspec.Struct):
    """What a job that has not ended asked for, and the version that it runs."""

    model: str
    version: str
    alias: str


class VersionBook:
    """Told of each event before the other books change; says what is wrong as (invariant, text, job)."""

    def __init__(self, wrong: Callable[[str, str, str], None]) -> None:
        self._wrong = wrong
        self._aliases: dict[tuple[str, str], str] = {}
        self._withdrawn: dict[str, bool] = {}
        self._jobs: dict[str, _Pinned] = {}

    def take(self, event: said.Event) -> None:
        match event:
            case said.AliasPointed():
                self._aliases[event.model, event.alias] = event.version
            case said.VersionWithdrawn():
                if self._withdrawn.get(event.version, -1) >= event.kill:
                    self._wrong("I12", f"version {event.version} was withdrawn before", "")
                self._withdrawn[event.version] = event.kill
            case said.JobAccepted() | said.JobPreparing():
                self._jobs[event.job] = _Pinned(event.model, event.version, event.alias)
                self._refuse_withdrawn(event.job, "accepted")
            case said.JobRepinned():
                self._pin(event)
            case said.PreparationOrdered():
                self._refuse_withdrawn(event.job, "prepared")
            case said.JobDispatched():
                self._refuse_withdrawn(event.job, "dispatched")
            case said.GangReserved():
                self._refuse_withdrawn(event.job, "slots were kept")
            case said.RecallOrdered() | said.KillOrdered() if event.reason == "withdrawn":
                self._stop(event)
            case said.JobCancelled():
                job = self._jobs.pop(event.job, None)
                ends = job is not None and not job.alias and job.version in self._withdrawn
                if event.reason == "version_withdrawn" and not ends:
                    self._wrong("I12", "it was ended for a withdrawn version whose digest it did not name", event.job)
            case (
                said.JobSucceeded()
                | said.JobDeadLettered()
                | said.JobQuarantined()
                | said.JobExpired()
                | said.InputsRefused()
            ):
                self._jobs.pop(event.job, None)
            case _:
                return

    def _refuse_withdrawn(self, job_id: str, verb: str) -> None:
        job = self._jobs.get(job_id)
        if job is not None and job.version in self._withdrawn:
            self._wrong("I12", f"{verb} with version {job.version}, which was withdrawn", job_id)

    def _pin(self, event: said.JobRepinned) -> None:
        """Only a job whose version was withdrawn, and to what the alias that it named has now."""
        job = self._jobs.get(event.job)
        if job is None:
            return
        if job.version not in self._withdrawn:
            self._wrong("I12", f"pinned anew though its version {job.version} was not withdrawn", event.job)
        pointed = self._aliases.get((job.model, job.alias)) if job.alias else None
        if event.version != pointed:
            self._wrong("I12", f"pinned to {event.version}, its alias {job.alias!r} has {pointed}", event.job)
        job.version = event.version
        self._refuse_withdrawn(event.job, "pinned anew")

    def _stop(self, event: said.RecallOrdered | said.KillOrdered) -> None:
        job = self._jobs.get(event.job)
        kill = self._withdrawn.get(job.version) if job is not None else None
        if kill is None or (isinstance(event, said.KillOrdered) and not kill):
            self._wrong("I12", f"{type(event).__name__} for a withdrawal that nobody asked for", event.job)
