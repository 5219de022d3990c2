"""Media that CPU workers prepared for an attempt: fetched to this node's disk while another attempt runs.

Bytes that wait here for their attempt have a budget. What does not fit waits until another attempt has ended, in the
order in which it came; a single job's media are always fetched. Everything is checked: the manifest against the digest
that the ledger has, each file against the manifest. What the store has lost is prepared anew (`inputs_missing`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from contract.codec import Malformed, decode_prepared
from contract.error_names import error_name
from contract.names import digest_of
from contract.orders import Run
from contract.prepared import (
    MANIFEST_NAME,
    PREPARED_MANIFEST_BYTES_MAX,
    PreparedFile,
    PreparedManifest,
    preparation_prefix,
)
from gpu_worker.rules.outcome import Failure, disk_failure
from runtime.object_store import Missing, OtherSize
from runtime.worker.background import BackgroundThreads
from runtime.worker.outages import GivenUp, OutageWaits

log = structlog.get_logger(__name__)

INPUT_BYTES_MAX = 16 * 2**30
"""Of media that wait on a node for their attempts."""
AT_ONCE = 2
"""Preparations that are fetched at a time, so that the first is there soon."""
MODE = 0o444
"""Of a file: the model's own user reads it, and may not change it."""
HASH_BYTES = 2**20

OnInputs = Callable[[tuple[PreparedFile, ...] | Failure], None]
"""Called, in any thread, with what was fetched. Not called once nobody wants it."""


class InputStore(Protocol):
    """runtime.object_store.ObjectStore, as far as inputs use a store."""

    def get(self, key: str, bytes_max: int) -> bytes: ...
    def get_file(self, key: str, path: Path, size: int) -> None: ...


class InputPlaces(Protocol):
    """runtime.worker.scratch.Scratch, as far as inputs use one. Any thread may call these."""

    def fetched(self, dispatch: str) -> str: ...
    def make_fetched(self, dispatch: str) -> None: ...


class InputsLost(Exception):
    """The store has not what the ledger says it has. The message names no user's words."""


class PreparedFetcher:
    """Any thread may use it."""

    def __init__(self, store: InputStore, places: InputPlaces, waits: OutageWaits, bytes_max: int) -> None:
        self._store = store
        self._places = places
        self._waits = waits
        self._bytes_max = bytes_max
        self._threads = BackgroundThreads("inputs", AT_ONCE)
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        """Bytes by dispatch, of what is fetched or being fetched."""
        self._waiting: dict[str, tuple[Run, OnInputs]] = {}
        """By dispatch, what there is no room for yet, in the order in which it came."""

    def fetch(self, run: Run, told: OnInputs) -> None:
        """Fetch the attempt's media as soon as there is room for them."""
        with self._lock:
            self._waiting[run.dispatch] = (run, told)
            self._begin()

    def let_go(self, dispatch: str) -> None:
        """Nobody wants the attempt's media any more. What is fetched of them is the caller's to delete."""
        with self._lock:
            self._waiting.pop(dispatch, None)
            self._held.pop(dispatch, None)
            self._begin()

    def close(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._held.clear()

    def _begin(self) -> None:
        while self._waiting:
            dispatch, (run, told) = next(iter(self._waiting.items()))
            needed = 0 if run.prepared is None else run.prepared.bytes
            if self._held and sum(self._held.values()) + needed > self._bytes_max:
                return
            del self._waiting[dispatch]
            self._held[dispatch] = needed
            self._threads.submit(lambda run=run, told=told: self._work(run, told))  # type: ignore[misc]

    def _work(self, run: Run, told: OnInputs) -> None:
        found: tuple[PreparedFile, ...] | Failure
        try:
            found = self._waits.until_done(
                f"inputs {run.dispatch}", lambda: self._fetch(run), lambda: not self._is_wanted(run)
            )
        except GivenUp:
            return
        except InputsLost as error:
            log.warning("prepared inputs are lost", job=run.job, dispatch=run.dispatch, found=str(error))
            found = Failure("inputs_missing", error_name("InputsMissing"), f"{error}\n")
        except OSError as error:
            found = disk_failure(error, "store")
        if self._is_wanted(run):
            told(found)

    def _is_wanted(self, run: Run) -> bool:
        return run.dispatch in self._held

    def _fetch(self, run: Run) -> tuple[PreparedFile, ...]:
        """InputsLost; what an outage raises."""
        with self._lock:  # else the folder could come after its attempt was forgotten, and stay
            if not self._is_wanted(run):
                raise GivenUp
            self._places.make_fetched(run.dispatch)
        folder = Path(self._places.fetched(run.dispatch))
        try:
            files = self._manifest(run).files
            for file in files:
                self._fetch_file(run, file, folder / file.name)
        except Missing as error:
            raise InputsLost(f"expected the object {error}, found none") from None
        except OtherSize as error:
            raise InputsLost(f"expected objects as the manifest says: {error}") from None
        return files

    def _manifest(self, run: Run) -> PreparedManifest:
        assert run.prepared is not None, "media are fetched for attempts that have some"
        prefix = preparation_prefix(run.job, run.prepared.preparation)
        raw = self._store.get(prefix + MANIFEST_NAME, PREPARED_MANIFEST_BYTES_MAX)
        if digest_of(raw) != run.prepared.manifest:
            raise InputsLost("expected the manifest that the ledger has the digest of, found another")
        try:
            manifest = decode_prepared(raw)
        except Malformed as error:
            raise InputsLost(str(error)) from None
        if (manifest.job, manifest.preparation) != (run.job, run.prepared.preparation):
            raise InputsLost("expected the manifest of this preparation, found that of another")
        if sum(file.bytes for file in manifest.files) > run.prepared.bytes:
            raise InputsLost(f"expected files of at most {run.prepared.bytes} bytes, found more")
        return manifest

    def _fetch_file(self, run: Run, file: PreparedFile, path: Path) -> None:
        """A file that is here already, before an outage, is not fetched again."""
        assert run.prepared is not None, "media are fetched for attempts that have some"
        if path.exists() and path.stat().st_mode & 0o777 == MODE:
            return
        self._store.get_file(preparation_prefix(run.job, run.prepared.preparation) + file.name, path, file.bytes)
        if _sha256(path) != file.sha256:
            raise InputsLost(f"{file.name}: expected the bytes that the manifest has the digest of, found others")
        path.chmod(MODE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def with_paths(inputs: msgspec.Raw, files: tuple[PreparedFile, ...], folder: str) -> msgspec.Raw:
    """The inputs with each place that named a medium replaced by the path of what was prepared of it. InputsLost when
    the inputs have no such place."""
    if not files:
        return inputs
    values = msgspec.json.decode(inputs)
    for file in files:
        path = f"{folder}/{file.name}"
        found = values.get(file.field) if isinstance(values, dict) else None
        if isinstance(found, list) and 0 <= file.index < len(found):
            found[file.index] = path
        elif isinstance(found, str) and file.index == 0:
            values[file.field] = path
        else:
            raise InputsLost("expected a place in the inputs for each prepared file, found none")
    return msgspec.Raw(msgspec.json.encode(values))
