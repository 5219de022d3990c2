"""What an attempt leaves in the object store: its outputs and their manifest, or its error. In the background.

    results/<job>/<dispatch>/<name>          each output
    results/<job>/<dispatch>/inputs.json     the inputs it used, so that an erasure takes them along
    results/<job>/<dispatch>/manifest.json   last: names the digest of everything else
    results/<job>/<dispatch>/error.txt       instead of all that, when it failed

The child is not trusted: `outputs` reads its files, `checker_process` says whether its values fit.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
import stamina
import structlog

from contract.codec import encode
from contract.inputs import Failed, Report, Succeeded
from contract.orders import Run
from contract.results import (
    EMPTY_MANIFEST,
    ERROR_NAME,
    INPUTS_NAME,
    MANIFEST_NAME,
    ResultFile,
    ResultManifest,
    attempt_prefix,
)
from gpu_worker.io.background import Crew
from gpu_worker.io.checker import BAD_OUTPUTS, BAD_VALUES, KINDS
from gpu_worker.io.checker_process import CheckAborted, Checkers
from gpu_worker.io.outputs import BadOutput, OpenOutput, OutputReading, check_names
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed, Failure, disk_failure, identifier
from runtime.object_store import Source, is_away

log = structlog.get_logger(__name__)

OUTPUT_BYTES_MAX = 8 * 1024**3
"""The most that one attempt's files may take together."""

WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""A file up to this size is read at once and stored from memory; a larger one goes by parts."""

ERROR_CHARACTERS_MAX = 128 * 1024
"""Of an error text its end is kept."""

ERROR_PATIENCE_S = 20.0
"""How long an error text may hold up the report of a failure."""

NO_VALUES = b"{}"


class ResultStore(Protocol):
    """runtime.object_store.ObjectStore, as far as it is used here."""

    def put(self, key: str, data: bytes, *, content_type: str = ...) -> bool: ...
    def put_stream(self, key: str, source: Source, *, content_type: str = ...) -> None: ...
    def delete_prefix(self, prefix: str) -> int: ...


_ERRORS = {BAD_VALUES: "BadValues", BAD_OUTPUTS: "ValuesBreakSchema"}

OpenOutputs = Callable[[str], int]
"""dispatch -> the directory with its outputs, open. OSError when there is none."""


class Abandoned(Exception):
    """Nobody wants this attempt's result any more."""


Put = TypeVar("Put")

OnReport = Callable[[str, Report], None]
"""Called, in any thread, with the dispatch and how the attempt ended."""


class ResultsWriter:
    """For the agent's main thread; the threads it uses are its own."""

    def __init__(
        self, store: ResultStore, open_outputs: OpenOutputs, checkers: Checkers, told: OnReport, patience_s: float
    ) -> None:
        """`patience_s`: how long to try while the object store does not answer, before the attempt fails."""
        self._store = store
        self._open_outputs = open_outputs
        self._checkers = checkers
        self._told = told
        self._patience_s = patience_s
        self._crew = Crew("results", 4)
        self._abandoned: dict[str, threading.Event] = {}
        self._takes_no_values: set[str] = set()
        """Versions whose output schema was found to take `{}`."""

    def at_once(self, run: Run, outcome: ChildOutcome) -> Report | None:
        """The report of an attempt that leaves nothing behind; None when there is something to store or to check."""
        if run.version in self._takes_no_values and _is_empty(outcome):
            return Succeeded(run.job, run.dispatch, EMPTY_MANIFEST)
        return None

    def store(self, run: Run, supplies: Supplies, outcome: ChildOutcome) -> None:
        """Store what the attempt left, then tell how it ended."""
        if isinstance(outcome, Failure):
            self.store_failure(run, outcome)
        else:
            self._begin(run, lambda abandoned: self._store_result(run, supplies, outcome, abandoned))

    def store_failure(self, run: Run, failure: Failure) -> None:
        """Store the error text of an attempt that failed, then tell how it ended."""
        self._begin(run, lambda abandoned: self._store_failure(run, failure, abandoned))

    def _begin(self, run: Run, store: Callable[[threading.Event], Report]) -> None:
        self._abandoned[run.dispatch] = abandoned = threading.Event()
        self._crew.submit(lambda: self._work(run, store, abandoned))

    def abandon(self, dispatch: str) -> None:
        """Stop storing, and remove what is stored; it is told all the same."""
        abandoned = self._abandoned.get(dispatch)
        if abandoned is not None:
            abandoned.set()

    def _work(self, run: Run, store: Callable[[threading.Event], Report], abandoned: threading.Event) -> None:
        try:
            report = store(abandoned)
        except Abandoned:
            report = Failed(run.job, run.dispatch, "store", "Abandoned")
        except Exception as error:  # a defect of ours must not leave the attempt open for ever
            log.error("result not stored", job=run.job, dispatch=run.dispatch, error=type(error).__name__)
            report = Failed(run.job, run.dispatch, "store", identifier(type(error).__name__))
        if abandoned.is_set():
            self._remove(run)
        del self._abandoned[run.dispatch]
        self._told(run.dispatch, report)

    def _store_result(self, run: Run, supplies: Supplies, outcome: Computed, abandoned: threading.Event) -> Report:
        result = self._result(run, supplies, outcome, abandoned)
        if isinstance(result, Failure):
            return self._store_failure(run, result, abandoned)
        return Succeeded(run.job, run.dispatch, result)

    def _store_failure(self, run: Run, failure: Failure, abandoned: threading.Event) -> Report:
        if failure.detail:
            self._put_error(run, failure.detail, abandoned)
        return Failed(run.job, run.dispatch, failure.kind, failure.error)

    def _result(self, run: Run, supplies: Supplies, outcome: Computed, abandoned: threading.Event) -> str | Failure:
        """The manifest's digest, once everything is stored; or why there is no result."""
        try:
            fault = self._fault_of_values(run, supplies, outcome)
            if fault is not None:
                return fault
            if _is_empty(outcome):
                self._takes_no_values.add(run.version)
                return EMPTY_MANIFEST
            files = self._put_outputs(run, outcome.outputs, abandoned)
            manifest = encode(ResultManifest(run.job, run.dispatch, run.version, outcome.values, files))
            prefix = attempt_prefix(run.job, run.dispatch)
            self._put(prefix + INPUTS_NAME, bytes(supplies.inputs), "application/json", abandoned)
            self._put(prefix + MANIFEST_NAME, manifest, "application/json", abandoned)
        except Abandoned:
            raise
        except BadOutput as error:
            return Failure("bad_outputs", error.name, error.detail)
        except OSError as error:
            return disk_failure(error, "store")
        except Exception as error:  # the slot: an attempt that cannot be stored fails, its node goes on
            log.warning("result not stored", job=run.job, dispatch=run.dispatch, error=type(error).__name__)
            return Failure("store", identifier(type(error).__name__))
        return "sha256:" + hashlib.sha256(manifest).hexdigest()

    def _fault_of_values(self, run: Run, supplies: Supplies, outcome: Computed) -> Failure | None:
        """When nobody can hold the values, or they are not what the version's output schema says. BadOutput when that
        cannot be found out."""
        schema = msgspec.json.encode(supplies.program.manifest.outputs)
        try:
            fault = self._checkers.fault(schema, bytes(outcome.values))
        except CheckAborted as error:
            log.warning("values not checked", job=run.job, version=run.version, reason=str(error))
            raise BadOutput(error.name, f"{error}\n") from None
        if fault is None:
            return None
        return Failure(KINDS[fault.kind], _ERRORS[fault.kind], f"{fault.sentence}\n")

    def _put_outputs(self, run: Run, names: tuple[str, ...], abandoned: threading.Event) -> tuple[ResultFile, ...]:
        if not names:
            return ()
        check_names(names)
        try:
            folder = self._open_outputs(run.dispatch)
        except OSError:
            raise BadOutput("OutputMissing") from None
        files: list[ResultFile] = []
        room = OUTPUT_BYTES_MAX
        try:
            for name in names:
                file = self._put_output(run, name, folder, room, abandoned)
                room -= file.bytes
                files.append(file)
        finally:
            os.close(folder)
        return tuple(files)

    def _put_output(self, run: Run, name: str, folder: int, room: int, abandoned: threading.Event) -> ResultFile:
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        key = attempt_prefix(run.job, run.dispatch) + name

        def look() -> None:
            if abandoned.is_set():
                raise Abandoned

        def upload() -> OutputReading:
            reading = output.reading(look)
            self._store.put_stream(key, reading, content_type=media_type)
            return reading

        with OpenOutput(folder, name) as output:
            if output.bytes > room:
                raise BadOutput("OutputsTooLarge")
            if output.bytes <= WHOLE_BYTES_MAX:
                reading = output.reading(look)
                self._put(key, reading.read(), media_type, abandoned)
            else:
                reading = self._retry(upload, abandoned, self._patience_s)
            output.check_unchanged()
            return ResultFile(name, reading.sha256, output.bytes, media_type)

    def _put(self, key: str, data: bytes, media_type: str, abandoned: threading.Event) -> None:
        self._retry(lambda: self._store.put(key, data, content_type=media_type), abandoned, self._patience_s)

    def _put_error(self, run: Run, detail: str, abandoned: threading.Event) -> None:
        key = attempt_prefix(run.job, run.dispatch) + ERROR_NAME
        data = detail[-ERROR_CHARACTERS_MAX:].encode("utf-8", "replace")
        try:
            self._retry(
                lambda: self._store.put(key, data, content_type="text/plain; charset=utf-8"),
                abandoned,
                min(ERROR_PATIENCE_S, self._patience_s),
            )
        except Abandoned:
            raise
        except Exception as error:  # the report of the failure: its words are worth less than it
            log.warning("error text not stored", job=run.job, dispatch=run.dispatch, error=type(error).__name__)

    def _retry(self, put: Callable[[], Put], abandoned: threading.Event, patience_s: float) -> Put:
        for attempt in stamina.retry_context(
            on=_passing,
            attempts=None,
            timeout=patience_s,
            wait_initial=0.2,
            wait_max=2.0,
        ):
            with attempt:
                if abandoned.is_set():
                    raise Abandoned
                return put()
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _remove(self, run: Run) -> None:
        try:
            self._store.delete_prefix(attempt_prefix(run.job, run.dispatch))
        except Exception as error:  # the report of the end, which waits for this: what is left in the store is less
            log.warning("abandoned result not removed", job=run.job, dispatch=run.dispatch, error=type(error).__name__)


def _is_empty(outcome: ChildOutcome) -> bool:
    """Whether nothing of it has to be kept: a manifest of no files and no values says nothing."""
    return isinstance(outcome, Computed) and not outcome.outputs and bytes(outcome.values) == NO_VALUES


def _passing(error: Exception) -> bool:
    """Whether another try may mend it: a store that is away, not a file of ours that cannot be read."""
    if isinstance(error, Abandoned | BadOutput):
        return False
    return not isinstance(error, OSError) or is_away(error)
