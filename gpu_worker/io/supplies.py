"""What an attempt needs before it can start: the payload the user wrote and the version on this disk.

An order that carries its payload, for a version that is here, is supplied at once in the caller's thread. Else threads
read the payload by offset and have the depot fetch the version, so neither holds up a slot or the orders.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contract.error_names import error_name
from contract.orders import Run
from contract.prepared import PreparedFile
from gpu_worker.io.inputs import are_fine_at_once, refusal_of
from gpu_worker.io.prepared_inputs import InputsLost, PreparedFetcher, with_paths
from gpu_worker.io.versions import VersionFetcher, VersionSource
from gpu_worker.rules.outcome import Failure
from registry.depot import InstalledVersion
from runtime.worker.background import BackgroundThreads
from runtime.worker.outages import GivenUp, OutageWaits
from runtime.worker.payloads import PayloadMissing, ReadPayload, payload_of, read_payload


class Supplies(msgspec.Struct, frozen=True):
    """What a child is given: the inputs, and the version's program."""

    inputs: msgspec.Raw
    program: InstalledVersion
    media: tuple[PreparedFile, ...] = ()
    """What was prepared, and lies on this disk now."""


OnSupplies = Callable[[str, Supplies | Failure], None]
"""Called, in any thread, with the dispatch and what came of fetching for it."""


class SuppliesFetcher:
    """For the agent's main thread only; the threads that fetch are its own."""

    def __init__(
        self, depot: VersionSource, read: ReadPayload, told: OnSupplies, waits: OutageWaits, media: PreparedFetcher
    ) -> None:
        self._depot = depot
        self._media = media
        self._read = read
        self._told = told
        self._payload_waits = waits.apart()
        self._versions = VersionFetcher(depot, waits.apart())
        self._payload_threads = BackgroundThreads("payloads", 4)
        self._aside = BackgroundThreads("aside", 1)
        """For what takes a moment and never waits for a server."""
        self._last_used = ""
        self._wanted: set[str] = set()
        """Dispatches whose supplies are awaited."""

    @property
    def cached(self) -> tuple[str, ...]:
        """Versions that can start at once, sorted."""
        return self._versions.cached

    def fetch(self, run: Run) -> Supplies | None:
        """The attempt's supplies if they are here; else they are fetched and `told` is called."""
        program = self._versions.installed(run.version)
        payload = payload_of(run)
        inputs = None if payload is None else payload.inputs
        if program is not None and inputs is not None and are_fine_at_once(inputs):
            self._note_use(run.version)
            if run.prepared is None:
                return Supplies(inputs, program)
            self._wanted.add(run.dispatch)
            self._fetch_media(run, Supplies(inputs, program))
            return None
        self._wanted.add(run.dispatch)
        if inputs is None:
            self._payload_threads.submit(lambda: self._fetch_payload(run))
        else:
            self._aside.submit(lambda: self._fetch_version(run, inputs))
        return None

    def forget(self, dispatch: str) -> None:
        """Nobody waits for this attempt's supplies any more, or has any use for its media."""
        self._wanted.discard(dispatch)
        self._media.let_go(dispatch)

    def distrust(self, version: str) -> None:
        """The version did not start: have the depot look at the version again before its next attempt."""
        self._versions.distrust(version)

    def prefetch(self, version: str, done: Callable[[], None], *, wheels_from_index: bool = True) -> None:
        """Have the version on disk; `done` is called, in any thread, when the version is there or cannot be had."""
        self._versions.prefetch(version, done, wheels_from_index=wheels_from_index)

    def close(self) -> None:
        """Nobody waits for any supplies any more: threads stop looking for payloads."""
        self._wanted.clear()
        self._media.close()

    def _note_use(self, version: str) -> None:
        if version != self._last_used:
            self._last_used = version
            self._aside.submit(lambda: self._depot.mark_used(version))

    def _fetch_payload(self, run: Run) -> None:
        try:
            inputs = read_payload(run, self._read, lambda: run.dispatch in self._wanted, self._payload_waits).inputs
        except GivenUp:
            return
        except PayloadMissing:
            self._tell(run, Failure("payload_missing", "PayloadMissing"))
        else:
            self._fetch_version(run, inputs)

    def _fetch_version(self, run: Run, inputs: msgspec.Raw) -> None:
        """The payload is here: have the version too, then tell."""
        refusal = refusal_of(inputs)
        if refusal is not None:
            self._tell(run, refusal)
            return

        def tell(found: InstalledVersion | Failure) -> None:
            if isinstance(found, Failure) or run.prepared is None:
                self._tell(run, found if isinstance(found, Failure) else Supplies(inputs, found))
            elif run.dispatch in self._wanted:
                self._fetch_media(run, Supplies(inputs, found))

        self._versions.fetch(
            run.version, tell, lambda: run.dispatch in self._wanted, wheels_from_index=run.wheels_from_index
        )

    def _fetch_media(self, run: Run, supplies: Supplies) -> None:
        """All else is here: have the media too, then tell."""

        def tell(found: tuple[PreparedFile, ...] | Failure) -> None:
            self._tell(run, found if isinstance(found, Failure) else _with_media(supplies, found))

        self._media.fetch(run, tell)

    def _tell(self, run: Run, result: Supplies | Failure) -> None:
        if run.dispatch in self._wanted:
            self._wanted.discard(run.dispatch)
            self._told(run.dispatch, result)


def _with_media(supplies: Supplies, media: tuple[PreparedFile, ...]) -> Supplies | Failure:
    try:
        with_paths(supplies.inputs, media, "")
    except InputsLost as error:
        return Failure("inputs_missing", error_name("InputsMissing"), f"{error}\n")
    return msgspec.structs.replace(supplies, media=media)
