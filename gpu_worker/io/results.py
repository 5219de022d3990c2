"""What an attempt leaves in the object store: its outputs and their manifest, or its error. In the background.

The child is not trusted: `outputs` reads its files, `checker_process` says whether its values fit, and
`result_objects` stores what is kept.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable

import msgspec
import structlog

from contract.bounds import HELD_MAX
from contract.codec import encode
from contract.error_names import error_name
from contract.inputs import AttemptReport, Failed, Succeeded
from contract.orders import Run
from contract.results import (
    EMPTY_MANIFEST,
    ERROR_NAME,
    INPUTS_NAME,
    LOG_NAME,
    MANIFEST_NAME,
    ResultFile,
    ResultManifest,
)
from gpu_worker.io.checker import BAD_OUTPUTS, BAD_VALUES, KINDS
from gpu_worker.io.checker_process import CheckAborted, Checkers
from gpu_worker.io.encoder_process import EncoderFailed
from gpu_worker.io.encoders import Encoders
from gpu_worker.io.outputs import BadOutput, bytes_of, check_names
from gpu_worker.io.result_objects import ResultAbandoned, ResultObjects, ResultStore
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed, Failure, disk_failure
from runtime.worker.background import BackgroundThreads
from runtime.worker.outages import OutageWaits

log = structlog.get_logger(__name__)

NO_VALUES = b"{}"

_ERRORS = {BAD_VALUES: "BadValues", BAD_OUTPUTS: "ValuesBreakSchema"}

OpenOutputs = Callable[[str], int]
"""dispatch -> the directory with its outputs, open. OSError when there is no such directory."""

OnBytes = Callable[[str, int], None]
"""Called, in any thread, with the dispatch and how many bytes now wait on disk until it is stored."""

OnReport = Callable[[str, AttemptReport], None]
"""Called, in any thread, with the dispatch and how the attempt ended."""


class ResultsWriter:
    """For the agent's main thread; the threads that store are its own."""

    def __init__(
        self,
        store: ResultStore,
        open_outputs: OpenOutputs,
        checkers: Checkers,
        told: OnReport,
        waits: OutageWaits,
        encoders: Encoders,
        told_bytes: OnBytes = lambda _dispatch, _bytes: None,
    ) -> None:
        self._store = store
        self._open_outputs = open_outputs
        self._checkers = checkers
        self._told = told
        self._waits = waits
        self._encoders = encoders
        self._encoder_waits = waits.apart(HELD_MAX)
        """As many as there are threads may wait for an encoder: how many are at work is the encoders' own affair."""
        self._told_bytes = told_bytes
        self._threads = BackgroundThreads("results", HELD_MAX)
        self._under_way: dict[str, ResultObjects] = {}
        """By dispatch, the attempts of which something is being stored."""
        self._takes_no_values: set[str] = set()
        """Versions whose output schema was found to take `{}`."""

    def at_once(self, run: Run, outcome: ChildOutcome) -> AttemptReport | None:
        """The report of an attempt that leaves nothing behind; None when there is something to store or to check."""
        if isinstance(outcome, Failure) or run.version not in self._takes_no_values:
            return None
        if not _is_empty(outcome) or outcome.prints:
            return None
        return Succeeded(run.job, run.dispatch, EMPTY_MANIFEST, load_ms=outcome.load_ms)

    def bytes_to_store(self, run: Run, supplies: Supplies, outcome: ChildOutcome) -> tuple[int, int]:
        """(on disk, in memory): what waits here until the attempt is stored."""
        if isinstance(outcome, Failure):
            return 0, len(outcome.detail)
        in_memory = len(bytes(outcome.values)) + len(bytes(supplies.inputs))
        if not outcome.outputs and not outcome.media:
            return 0, in_memory
        try:
            folder = self._open_outputs(run.dispatch)
        except OSError:
            return 0, in_memory
        try:
            return bytes_of(folder, outcome.outputs, len(outcome.media)), in_memory
        finally:
            os.close(folder)

    def store(self, run: Run, supplies: Supplies, outcome: ChildOutcome) -> None:
        """Store what the attempt left, then tell how it ended."""
        if isinstance(outcome, Failure):
            self.store_failure(run, outcome)
        else:
            self._begin(run, lambda objects: self._store_result(run, supplies, outcome, objects))

    def store_failure(self, run: Run, failure: Failure) -> None:
        """Store the error text of an attempt that failed, then tell how it ended."""
        self._begin(run, lambda objects: _store_failure(run, failure, objects))

    def abandon(self, dispatch: str) -> None:
        """Stop storing, and remove what is stored; the end is told all the same."""
        objects = self._under_way.get(dispatch)
        if objects is not None:
            objects.abandon()

    def _begin(self, run: Run, store: Callable[[ResultObjects], AttemptReport]) -> None:
        self._under_way[run.dispatch] = objects = ResultObjects(self._store, run, self._waits)
        self._threads.submit(lambda: self._work(run, store, objects))

    def _work(self, run: Run, store: Callable[[ResultObjects], AttemptReport], objects: ResultObjects) -> None:
        try:
            report = store(objects)
        except ResultAbandoned:
            report = Failed(run.job, run.dispatch, "store", "Abandoned")
        except Exception as error:  # a defect of ours must not leave the attempt open for ever
            log.error("result not stored", job=run.job, dispatch=run.dispatch, error=type(error).__name__)
            report = Failed(run.job, run.dispatch, "store", error_name(type(error).__name__))
        if objects.is_abandoned:
            objects.remove()
        del self._under_way[run.dispatch]
        self._told(run.dispatch, report)

    def _store_result(self, run: Run, supplies: Supplies, outcome: Computed, objects: ResultObjects) -> AttemptReport:
        objects.put_text(LOG_NAME, outcome.prints)
        result = self._result(run, supplies, outcome, objects)
        return _store_failure(run, result, objects) if isinstance(result, Failure) else result

    def _result(self, run: Run, supplies: Supplies, outcome: Computed, objects: ResultObjects) -> Succeeded | Failure:
        """The report, once everything is stored; or why there is no result."""
        try:
            fault = self._fault_of_values(run, supplies, outcome)
            if fault is not None:
                return fault
            if _is_empty(outcome):
                self._takes_no_values.add(run.version)
                return Succeeded(run.job, run.dispatch, EMPTY_MANIFEST, load_ms=outcome.load_ms)
            files = self._put_files(run, outcome, objects)
            manifest = encode(
                ResultManifest(run.job, run.dispatch, run.version, outcome.values, files, secrets.token_hex(16))
            )
            objects.put(INPUTS_NAME, bytes(supplies.inputs), "application/json")
            objects.put(MANIFEST_NAME, manifest, "application/json")
        except ResultAbandoned:
            raise
        except BadOutput as error:
            return Failure("bad_outputs", error.name, error.detail)
        except EncoderFailed as error:
            log.warning("result not encoded", job=run.job, dispatch=run.dispatch, error=error.name)
            return Failure("store", error_name(error.name), f"{error}\n")
        except OSError as error:
            return disk_failure(error, "store")
        except Exception as error:  # an attempt that cannot be stored fails; its node goes on
            log.warning("result not stored", job=run.job, dispatch=run.dispatch, error=type(error).__name__)
            return Failure("store", error_name(type(error).__name__))
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        return Succeeded(run.job, run.dispatch, digest, sum(file.bytes for file in files), outcome.load_ms)

    def _fault_of_values(self, run: Run, supplies: Supplies, outcome: Computed) -> Failure | None:
        """Why the values cannot be held, or are not what the version's output schema says; None when they fit.
        BadOutput when the check has no answer."""
        schema = msgspec.json.encode(supplies.program.manifest.outputs)
        try:
            fault = self._checkers.fault(schema, bytes(outcome.values))
        except CheckAborted as error:
            log.warning("values not checked", job=run.job, version=run.version, reason=str(error))
            raise BadOutput(error.name, f"{error}\n") from None
        if fault is None:
            return None
        return Failure(KINDS[fault.kind], _ERRORS[fault.kind], f"{fault.sentence}\n")

    def _put_files(self, run: Run, outcome: Computed, objects: ResultObjects) -> tuple[ResultFile, ...]:
        names, media = outcome.outputs, outcome.media
        if not names and not media:
            return ()
        check_names(names)
        try:
            folder = self._open_outputs(run.dispatch)
        except OSError:
            raise BadOutput("OutputMissing") from None
        try:
            made = self._encode(run, outcome, folder, objects) if media else ()
            return (*objects.put_outputs(folder, names), *made)
        finally:
            os.close(folder)

    def _encode(self, run: Run, outcome: Computed, folder: int, objects: ResultObjects) -> tuple[ResultFile, ...]:
        """Have encoders make files of what was handed over, and put those."""
        media = outcome.media
        self._encoders.check(media, outcome.outputs)

        def encode() -> int:
            return self._encoders.encode(run, media, folder, objects.look, note_bytes)

        def note_bytes() -> None:
            self._told_bytes(run.dispatch, bytes_of(folder, outcome.outputs, len(media)))

        encoded = objects.until_done(encode, waits=self._encoder_waits)
        try:
            return objects.put_outputs(encoded, tuple(name for one in media for name in one.names))
        finally:
            os.close(encoded)


def _store_failure(run: Run, failure: Failure, objects: ResultObjects) -> AttemptReport:
    objects.put_text(ERROR_NAME, failure.detail)
    objects.put_text(LOG_NAME, failure.prints)
    return Failed(run.job, run.dispatch, failure.kind, failure.error)


def _is_empty(outcome: Computed) -> bool:
    """Whether nothing of the outcome has to be kept: a manifest of no files and no values says nothing."""
    return not outcome.outputs and not outcome.media and bytes(outcome.values) == NO_VALUES
