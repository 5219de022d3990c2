"""What an attempt needs before it can start: the payload the user wrote and the version on this disk.

An order that carries its payload, for a version that is here, is supplied at once in the caller's thread. Else
threads read the payload by offset and have the depot fetch the version, so neither holds up a slot or the orders.

Inputs are decoded before they go to a child, as at every other door (contract.codec.decode_values): a payload that an
older release took and no part can hold fails its job once, with a sentence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import msgspec
import stamina
import structlog

from contract.codec import Malformed, decode_values, decode_wire
from contract.inputs import JobSubmitted
from contract.names import payload_digest
from contract.orders import Payload, Run
from gpu_worker.io.background import Crew
from gpu_worker.rules.outcome import Failure, disk_failure, identifier
from registry.depot import InstalledVersion
from registry.errors import RegistryError
from runtime.object_store import is_away
from runtime.worker.frames import FRAME_BYTES_MAX

log = structlog.get_logger(__name__)

READ_AGAIN = 3
"""A payload that is not there is looked for this often: a broker that just came up may not show it yet, and the
verdict is final for the job."""

INPUTS_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
"""The most that goes to a child: a frame holds it and what else a child must know of an attempt."""

CHECKED_AT_ONCE_BYTES_MAX = 16 * 1024
"""Inputs up to this size are decoded in the caller's thread, which takes about a millisecond at most."""


class Supplies(msgspec.Struct, frozen=True):
    inputs: msgspec.Raw
    program: InstalledVersion


class PayloadMissing(Exception):
    """The payload is gone: tombstoned, retained out, or not the one the ledger has the digest of."""


class VersionSource(Protocol):
    """registry.depot.Depot"""

    def ensure(self, version: str) -> InstalledVersion: ...
    def mark_used(self, version: str) -> None: ...


ReadPayload = Callable[[int, int], bytes | None]
"""(partition, offset) in `jobs` -> the record's value; None when there is none."""

OnSupplies = Callable[[str, Supplies | Failure], None]
"""Called, in any thread, with the dispatch and what came of fetching for it."""


class SuppliesFetcher:
    """Safe to call from the agent's main thread only; the threads it uses are its own."""

    def __init__(self, depot: VersionSource, read: ReadPayload, told: OnSupplies, patience_s: float) -> None:
        """`patience_s`: how long to try again for a version while the object store does not answer."""
        self._depot = depot
        self._read = read
        self._told = told
        self._patience_s = patience_s
        self._payloads = Crew("payloads", 4)
        self._versions = Crew("versions", 4)
        self._aside = Crew("aside", 1)
        """For what takes a moment and never waits for a server."""
        self._used = ""
        """The version that was used last."""
        self._programs: dict[str, InstalledVersion] = {}
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[InstalledVersion | Failure], None]]] = {}
        """By version that a thread is fetching: who waits for it."""
        self._wanted: set[str] = set()
        """Dispatches whose supplies are awaited."""

    @property
    def cached(self) -> tuple[str, ...]:
        """Versions that can start at once, sorted."""
        return tuple(sorted(self._programs.copy()))

    def fetch(self, run: Run) -> Supplies | None:
        """The attempt's supplies if they are here; else they are fetched and `told` is called."""
        program = self._programs.get(run.version)
        inputs = _submitted(run.payload, run.digest)
        if program is not None and inputs is not None and _is_fine_at_once(inputs):
            self._note_use(run.version)
            return Supplies(inputs, program)
        self._wanted.add(run.dispatch)
        if inputs is None:
            self._payloads.submit(lambda: self._fetch_payload(run))
        else:
            self._aside.submit(lambda: self._join(run, inputs))
        return None

    def forget(self, dispatch: str) -> None:
        """Nobody waits for this attempt's supplies any more."""
        self._wanted.discard(dispatch)

    def distrust(self, version: str) -> None:
        """The version did not start: have the depot look at it again before its next attempt."""
        self._programs.pop(version, None)

    def prefetch(self, version: str, done: Callable[[], None]) -> None:
        """Have the version on disk; `done` is called, in any thread, when it is or when it failed."""

        def tell(found: InstalledVersion | Failure) -> None:
            if isinstance(found, Failure):
                log.warning("version not fetched", version=version, error=found.error)
            done()

        self._fetch_version(version, tell)

    def _tell(self, run: Run, result: Supplies | Failure) -> None:
        if run.dispatch in self._wanted:
            self._wanted.discard(run.dispatch)
            self._told(run.dispatch, result)

    def _fetch_payload(self, run: Run) -> None:
        try:
            inputs = self._payload(run)
        except PayloadMissing:
            self._tell(run, Failure("payload_missing", "PayloadMissing"))
        else:
            self._join(run, inputs)

    def _note_use(self, version: str) -> None:
        if version != self._used:
            self._used = version
            self._aside.submit(lambda: self._depot.mark_used(version))

    def _join(self, run: Run, inputs: msgspec.Raw) -> None:
        """The payload is here: have the version too, then tell."""
        refusal = refusal_of(inputs)
        if refusal is not None:
            self._tell(run, refusal)
            return

        def tell(found: InstalledVersion | Failure) -> None:
            self._tell(run, found if isinstance(found, Failure) else Supplies(inputs, found))

        self._fetch_version(run.version, tell)

    def _payload(self, run: Run) -> msgspec.Raw:
        """The payload by offset, however long the broker is away."""
        looks = 0
        for attempt in stamina.retry_context(
            on=lambda error: not isinstance(error, PayloadMissing),
            attempts=None,
            timeout=None,
            wait_initial=0.2,
            wait_max=2.0,
        ):
            with attempt:
                if run.dispatch not in self._wanted:
                    break
                value = self._read(run.partition, run.offset)
                looks += 1
                if value is None and looks < READ_AGAIN:
                    raise LookupError("the payload is not there yet")
                inputs = _of_record(value, run)
                if inputs is None:
                    break
                return inputs
        raise PayloadMissing

    def _fetch_version(self, version: str, tell: Callable[[InstalledVersion | Failure], None]) -> None:
        """Call `tell` with the version; one thread fetches it, however many wait."""
        with self._lock:
            program = self._programs.get(version)
            if program is None:
                waiting = self._waiting.get(version)
                if waiting is not None:
                    waiting.append(tell)
                else:
                    self._waiting[version] = [tell]
                    self._versions.submit(lambda: self._install(version))
                return
        tell(program)

    def _install(self, version: str) -> None:
        found = self._ensured(version)
        with self._lock:
            if not isinstance(found, Failure):
                self._programs[version] = found
            waiting = self._waiting.pop(version)
        for tell in waiting:
            tell(found)

    def _ensured(self, version: str) -> InstalledVersion | Failure:
        try:
            for attempt in stamina.retry_context(
                on=_passing, attempts=None, timeout=self._patience_s, wait_initial=0.5, wait_max=5.0
            ):
                with attempt:
                    return self._depot.ensure(version)
        except OSError as error:
            return disk_failure(error, "environment")
        except Exception as error:  # the attempts that wait for the version: each must hear that it fails
            name = type(error).__name__
            return Failure("environment", identifier(name), f"{name}: {error}\n")
        raise AssertionError("unreachable: the last attempt returns or raises")


def _passing(error: Exception) -> bool:
    """Whether another try may mend it: a store that is away, not a version that is broken nor a disk that is full."""
    if isinstance(error, RegistryError):
        return error.code == "unavailable"
    return not isinstance(error, OSError) or is_away(error)


def refusal_of(inputs: msgspec.Raw) -> Failure | None:
    """Why a child cannot be given these inputs, if it cannot."""
    raw = bytes(inputs)
    sentence = f"inputs: expected at most {INPUTS_BYTES_MAX} bytes, found {len(raw)}"
    if len(raw) <= INPUTS_BYTES_MAX:
        try:
            decode_values(raw, "inputs")
            return None
        except Malformed as error:
            sentence = str(error)
    return Failure("bad_inputs", "InputsUnreadable", f"{sentence}\n")


def _is_fine_at_once(inputs: msgspec.Raw) -> bool:
    """Whether a child can be given these inputs, and they are so small that this is known in no time."""
    return len(bytes(inputs)) <= CHECKED_AT_ONCE_BYTES_MAX and refusal_of(inputs) is None


def _submitted(payload: Payload | None, digest: str) -> msgspec.Raw | None:
    """The inputs of a payload, if they are the ones the ledger has the digest of."""
    if payload is None or not _fits(payload.salt, bytes(payload.inputs), digest):
        return None
    return payload.inputs


def _of_record(value: bytes | None, run: Run) -> msgspec.Raw | None:
    if value is None:
        return None
    try:
        record = decode_wire(value)
    except Malformed:
        return None
    if not isinstance(record, JobSubmitted) or record.submission.job != run.job:
        return None
    return record.inputs if _fits(record.salt, bytes(record.inputs), run.digest) else None


def _fits(salt: str, inputs: bytes, digest: str) -> bool:
    try:
        return payload_digest(salt, inputs) == digest
    except ValueError:
        return False
