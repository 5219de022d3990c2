"""The objects of one attempt in the store, put however long the store is away, until nobody wants them.

results/<job>/<dispatch>/<name>          each output
results/<job>/<dispatch>/inputs.json     the inputs it used, so that an erasure takes them along
results/<job>/<dispatch>/manifest.json   last: names the digest of everything else
results/<job>/<dispatch>/error.txt       instead of all that, when it failed
results/<job>/<dispatch>/_log.txt        what the model printed, however it ended; not there when it printed nothing
"""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from contract.orders import Run
from contract.results import ResultFile, attempt_prefix
from gpu_worker.io.outputs import BadOutput, OpenOutput, OutputReading
from runtime.object_store import Source
from runtime.worker.outages import SILENT, CauseOf, GivenUp, OutageWaits, outage

log = structlog.get_logger(__name__)

OUTPUT_BYTES_MAX = 8 * 1024**3
"""The most that one attempt's files may take together."""

WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""A file up to this size is read at once and stored from memory; a larger file goes by parts."""

TEXT_CHARACTERS_MAX = 128 * 1024
"""Of a longer error text or log only the end is stored."""

TEXT_PATIENCE_S = 20.0
"""How long an attempt's error text and log, together, may hold up the report of its end."""


class ResultStore(Protocol):
    """runtime.object_store.ObjectStore, as far as results use a store."""

    def put(self, key: str, data: bytes, *, content_type: str = ...) -> bool: ...
    def put_stream(self, key: str, source: Source, *, content_type: str = ...) -> None: ...
    def delete_prefix(self, prefix: str) -> int: ...


class ResultAbandoned(Exception):
    """Nobody wants this attempt's result any more."""


Put = TypeVar("Put")


class ResultObjects:
    """For one thread; any thread may call `abandon`."""

    def __init__(self, store: ResultStore, run: Run, waits: OutageWaits) -> None:
        self._store = store
        self._run = run
        self._prefix = attempt_prefix(run.job, run.dispatch)
        self._waits = waits
        self._abandoned = threading.Event()
        self._patience_s = TEXT_PATIENCE_S
        """What is left of it."""
        self._room = OUTPUT_BYTES_MAX

    def abandon(self) -> None:
        """Nobody wants the result: what is being put ends with ResultAbandoned."""
        self._abandoned.set()

    @property
    def is_abandoned(self) -> bool:
        return self._abandoned.is_set()

    def put(self, name: str, data: bytes, media_type: str) -> None:
        """Put the bytes, however long the store is away. ResultAbandoned."""
        self.until_done(lambda: self._store.put(self._prefix + name, data, content_type=media_type))

    def put_outputs(self, folder: int, names: tuple[str, ...]) -> tuple[ResultFile, ...]:
        """Put the files of these names in the open directory. BadOutput when one is no result; as `put`."""
        files: list[ResultFile] = []
        for name in names:
            file = self._put_output(folder, name, self._room)
            self._room -= file.bytes
            files.append(file)
        return tuple(files)

    def put_text(self, name: str, text: str) -> None:
        """Put the text of a failure, or what was printed, unless it is empty; or log that it is not stored: the report
        matters more. ResultAbandoned."""
        if not text:
            return
        data = text[-TEXT_CHARACTERS_MAX:].encode("utf-8", "replace")
        key = self._prefix + name
        begun_s = self._waits.now_s()
        until_s = begun_s + self._patience_s

        def cause_of(error: Exception) -> str:
            return SILENT if outage(error) and self._waits.now_s() < until_s else ""

        try:
            self.until_done(lambda: self._store.put(key, data, content_type="text/plain; charset=utf-8"), cause_of)
        except ResultAbandoned:
            raise
        except Exception as error:  # whatever it was, the failure must be reported
            self._log(f"{name} not stored", error)
        finally:
            self._patience_s -= self._waits.now_s() - begun_s

    def remove(self) -> None:
        """Delete what was put, or log that it stays: the report of the end, which waits for this, matters more."""
        try:
            self._store.delete_prefix(self._prefix)
        except Exception as error:  # whatever it was, the end must be reported
            self._log("abandoned result not removed", error)

    def _put_output(self, folder: int, name: str, room: int) -> ResultFile:
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"

        def upload() -> OutputReading:
            reading = output.reading(self.look)
            key = self._prefix + name
            if output.bytes <= WHOLE_BYTES_MAX:
                self._store.put(key, reading.read(), content_type=media_type)
            else:
                self._store.put_stream(key, reading, content_type=media_type)
            return reading

        with OpenOutput(folder, name) as output:
            if output.bytes > room:
                raise BadOutput("OutputsTooLarge")
            output.check_closed()
            reading = self.until_done(upload)
            output.check_unchanged()
            return ResultFile(name, reading.sha256, output.bytes, media_type)

    def look(self) -> None:
        """ResultAbandoned when nobody wants the result."""
        if self._abandoned.is_set():
            raise ResultAbandoned

    def until_done(self, put: Callable[[], Put], cause_of: CauseOf = outage, waits: OutageWaits | None = None) -> Put:
        """What the call returns, however long an outage of ours lasts. ResultAbandoned. `waits`: other ones than those
        of the store."""
        try:
            what = f"result {self._run.dispatch}"
            return (waits or self._waits).until_done(what, put, self._abandoned.is_set, cause_of)
        except GivenUp:
            raise ResultAbandoned from None

    def _log(self, event: str, error: Exception) -> None:
        log.warning(event, job=self._run.job, dispatch=self._run.dispatch, error=type(error).__name__)
