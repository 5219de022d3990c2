"""What an attempt leaves in the object store: its outputs and their manifest, or its error. In the background.

    results/<job>/<dispatch>/<name>          each output
    results/<job>/<dispatch>/inputs.json     the inputs it used, so that an erasure takes them along
    results/<job>/<dispatch>/manifest.json   last: names the digest of everything else
    results/<job>/<dispatch>/error.txt       instead of all that, when it failed

The child is not trusted: an output must be a regular file with a plain name in the attempt's own directory. The bytes
that are hashed are the bytes that are stored, or the attempt fails.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import stat
import threading
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

import msgspec
import stamina
import structlog
from jsonschema.validators import validator_for

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
from gpu_worker.background import Crew
from gpu_worker.outcome import Computed, Failure, Outcome, checked, disk_failure, identifier
from gpu_worker.supplies import Supplies

log = structlog.get_logger(__name__)

OUTPUTS_MAX = 100
OUTPUT_BYTES_MAX = 8 * 1024**3
"""The most that one attempt's files may take together."""

WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""A file up to this size is read once, hashed and stored from memory; a larger one is hashed, then stored by parts."""

ERROR_PATIENCE_S = 20.0
"""How long an error text may hold up the report of a failure."""

OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RESERVED_NAMES = (MANIFEST_NAME, INPUTS_NAME, ERROR_NAME)


class Store(Protocol):
    """runtime.object_store.ObjectStore, as far as it is used here."""

    def put(self, key: str, data: bytes, *, content_type: str = ...) -> bool: ...
    def put_file(self, key: str, path: Path, *, content_type: str = ...) -> bool: ...
    def delete_prefix(self, prefix: str) -> int: ...


class BadOutput(Exception):
    """What the child left is no result. The message is an identifier."""


class Abandoned(Exception):
    """Nobody wants this attempt's result any more."""


Told = Callable[[str, Report], None]
"""Called, in any thread, with the dispatch and how the attempt ended."""


class Storekeeper:
    def __init__(self, store: Store, told: Told, patience_s: float) -> None:
        """`patience_s`: how long to try while the object store does not answer, before the attempt fails."""
        self._store = store
        self._told = told
        self._patience_s = patience_s
        self._crew = Crew("results", 4)
        self._abandoned: dict[str, threading.Event] = {}
        self._schemas: dict[str, Any] = {}
        """Validators of output schemas, by version."""
        self._empty_is_valid: dict[str, bool] = {}

    def at_once(self, run: Run, supplies: Supplies, outcome: Outcome) -> Report | None:
        """The report of an attempt that leaves nothing behind; None when there is something to store."""
        if isinstance(outcome, Failure) or outcome.outputs or bytes(outcome.values) != b"{}":
            return None
        valid = self._empty_is_valid.get(run.version)
        if valid is None:
            valid = self._empty_is_valid[run.version] = self._fits(outcome.values, run, supplies)
        return Succeeded(run.job, run.dispatch, EMPTY_MANIFEST) if valid else None

    def store(self, run: Run, supplies: Supplies | None, outcome: Outcome, directory: Path) -> None:
        """Store what the attempt left in `directory`, then tell how it ended."""
        self._abandoned[run.dispatch] = abandoned = threading.Event()
        self._crew.submit(lambda: self._work(run, supplies, outcome, directory, abandoned))

    def abandon(self, dispatch: str) -> None:
        """Stop storing, and remove what is stored; it is told all the same."""
        abandoned = self._abandoned.get(dispatch)
        if abandoned is not None:
            abandoned.set()

    def later(self, job: Callable[[], None]) -> None:
        """Have one of the storing threads do this, too."""
        self._crew.submit(job)

    def _work(
        self, run: Run, supplies: Supplies | None, outcome: Outcome, directory: Path, abandoned: threading.Event
    ) -> None:
        try:
            report = self._stored(run, supplies, outcome, directory, abandoned)
        except Abandoned:
            report = Failed(run.job, run.dispatch, "store", "Abandoned")
        except Exception as error:  # a defect of ours must not leave the attempt open for ever
            log.error("result not stored", job=run.job, dispatch=run.dispatch, error=type(error).__name__)
            report = Failed(run.job, run.dispatch, "store", identifier(type(error).__name__))
        if abandoned.is_set():
            self._remove(run)
        del self._abandoned[run.dispatch]
        self._told(run.dispatch, report)

    def _stored(
        self, run: Run, supplies: Supplies | None, outcome: Outcome, directory: Path, abandoned: threading.Event
    ) -> Report:
        if isinstance(outcome, Computed):
            outcome = checked(outcome)
        if isinstance(outcome, Computed) and supplies is not None:
            result = self._result(run, supplies, outcome, directory, abandoned)
            if isinstance(result, str):
                return Succeeded(run.job, run.dispatch, result)
            outcome = result
        assert isinstance(outcome, Failure), "an attempt without supplies cannot have computed"
        if outcome.detail:
            self._put_error(run, outcome.detail, abandoned)
        return Failed(run.job, run.dispatch, outcome.kind, outcome.error)

    def _result(
        self, run: Run, supplies: Supplies, outcome: Computed, directory: Path, abandoned: threading.Event
    ) -> str | Failure:
        """The manifest's digest, once everything is stored; or why there is no result."""
        try:
            if not self._fits(outcome.values, run, supplies):
                raise BadOutput("ValuesBreakSchema")
            files = self._put_outputs(run, outcome.outputs, directory, abandoned)
            manifest = encode(ResultManifest(run.job, run.dispatch, run.version, outcome.values, files))
            prefix = attempt_prefix(run.job, run.dispatch)
            self._put(prefix + INPUTS_NAME, bytes(supplies.inputs), "application/json", abandoned)
            self._put(prefix + MANIFEST_NAME, manifest, "application/json", abandoned)
        except Abandoned:
            raise
        except BadOutput as error:
            return Failure("bad_outputs", str(error))
        except OSError as error:
            return disk_failure(error, "store")
        except Exception as error:  # the slot: an attempt that cannot be stored fails, its node goes on
            return Failure("store", identifier(type(error).__name__))
        return "sha256:" + hashlib.sha256(manifest).hexdigest()

    def _put_outputs(
        self, run: Run, names: tuple[str, ...], directory: Path, abandoned: threading.Event
    ) -> tuple[ResultFile, ...]:
        if not names:
            return ()
        if len(names) > OUTPUTS_MAX or len(set(names)) < len(names):
            raise BadOutput("TooManyOutputs")
        files: list[ResultFile] = []
        room = OUTPUT_BYTES_MAX
        folder = _open_folder(directory)
        try:
            for name in names:
                file = self._put_output(run, name, folder, directory, room, abandoned)
                room -= file.bytes
                files.append(file)
        finally:
            os.close(folder)
        return tuple(files)

    def _put_output(
        self, run: Run, name: str, folder: int, directory: Path, room: int, abandoned: threading.Event
    ) -> ResultFile:
        if not OUTPUT_NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise BadOutput("OutputNameInvalid")
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        key = attempt_prefix(run.job, run.dispatch) + name
        with _open_output(name, folder) as file:
            before = os.fstat(file.fileno())
            if before.st_size > room:
                raise BadOutput("OutputsTooLarge")
            if before.st_size <= WHOLE_BYTES_MAX:
                data = file.read(WHOLE_BYTES_MAX + 1)
                self._put(key, data, media_type, abandoned)
                return ResultFile(name, hashlib.sha256(data).hexdigest(), len(data), media_type)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            path = directory / name
            self._retry(lambda: self._store.put_file(key, path, content_type=media_type), abandoned, self._patience_s)
            if {_signature(os.fstat(file.fileno())), _signature(path.lstat())} != {_signature(before)}:
                raise BadOutput("OutputChanged")
            return ResultFile(name, digest, before.st_size, media_type)

    def _put(self, key: str, data: bytes, media_type: str, abandoned: threading.Event) -> None:
        self._retry(lambda: self._store.put(key, data, content_type=media_type), abandoned, self._patience_s)

    def _put_error(self, run: Run, detail: str, abandoned: threading.Event) -> None:
        key = attempt_prefix(run.job, run.dispatch) + ERROR_NAME
        data = detail.encode("utf-8", "replace")
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

    def _retry(self, put: Callable[[], object], abandoned: threading.Event, patience_s: float) -> None:
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
                put()

    def _fits(self, values: msgspec.Raw, run: Run, supplies: Supplies) -> bool:
        """Whether the values are what the version's output schema says."""
        validator = self._schemas.get(run.version)
        if validator is None:
            schema = supplies.program.manifest.outputs
            validator = self._schemas[run.version] = validator_for(schema)(schema)
        try:
            return bool(validator.is_valid(msgspec.json.decode(values)))
        except Exception:  # values that are no JSON, too deep, or a schema that cannot be applied: none fits
            return False

    def _remove(self, run: Run) -> None:
        try:
            self._store.delete_prefix(attempt_prefix(run.job, run.dispatch))
        except Exception as error:  # the report of the end, which waits for this: what is left in the store is less
            log.warning("abandoned result not removed", job=run.job, dispatch=run.dispatch, error=type(error).__name__)


def _passing(error: Exception) -> bool:
    """Whether another try may mend it: a store that is away, not a file of ours that cannot be read."""
    if isinstance(error, Abandoned):
        return False
    return not isinstance(error, OSError) or isinstance(error, ConnectionError | TimeoutError)


def _open_folder(directory: Path) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise BadOutput("OutputMissing") from None


def _open_output(name: str, folder: int) -> BufferedReader:
    """The file, if it is a regular one: a link or a device is refused."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        raise BadOutput("OutputMissing") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadOutput("OutputNotAFile")
    return os.fdopen(fd, "rb")


def _signature(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
