"""What a preparation leaves in the object store, below inputs/<job>/<preparation>/.

    <n>.npy, <n>.mp4, …    what the model gets of each medium
    source-<n>             the originals, where the policy keeps them
    manifest.json          written last: without it there is no preparation
    refusal.txt            instead of all that: the sentence for the user

A worker deletes nothing there. What it stored and did not report is nobody's, and a sweep takes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol

from contract.codec import encode
from contract.names import digest_of
from contract.orders import Prepare
from contract.prepared import MANIFEST_NAME, REFUSAL_NAME, SOURCE_PREFIX, PreparedManifest, preparation_prefix
from cpu_worker.io.patient_steps import PatientSteps
from cpu_worker.io.preparation_time import PreparationTime
from runtime.object_store import Source

WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""Larger files go in parts."""
MEDIA_TYPES = {"mp4": "video/mp4", "png": "image/png", "wav": "audio/wav"}


class PreparedStore(Protocol):
    """runtime.object_store.ObjectStore, as far as prepared media are written."""

    def put(self, key: str, data: bytes, *, content_type: str = ...) -> bool: ...
    def put_stream(self, key: str, source: Source, *, content_type: str = ...) -> None: ...


class PreparedObjects:
    """Of one preparation. Every call raises PreparationOutage, PreparationAbandoned and PreparationTimeOver."""

    def __init__(self, store: PreparedStore, order: Prepare, steps: PatientSteps) -> None:
        self._store = store
        self._prefix = preparation_prefix(order.job, order.preparation)
        self._steps = steps

    def put_file(self, name: str, path: Path) -> None:
        kind = MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")

        def put() -> None:
            with path.open("rb") as file:
                if path.stat().st_size <= WHOLE_BYTES_MAX:
                    self._store.put(self._prefix + name, file.read(), content_type=kind)
                else:
                    self._store.put_stream(self._prefix + name, _Watched(file, self._steps.time), content_type=kind)

        self._steps.done("prepared", put)

    def put_source(self, place: int, path: Path) -> None:
        self.put_file(f"{SOURCE_PREFIX}{place}", path)

    def put_manifest(self, manifest: PreparedManifest) -> str:
        """Its digest."""
        data = encode(manifest)
        self._put(MANIFEST_NAME, data, "application/json")
        return digest_of(data)

    def put_refusal(self, sentence: str) -> None:
        self._put(REFUSAL_NAME, sentence.encode(errors="replace"), "text/plain; charset=utf-8")

    def _put(self, name: str, data: bytes, content_type: str) -> None:
        self._steps.done("prepared", lambda: self._store.put(self._prefix + name, data, content_type=content_type))


class _Watched:
    """A file of which no more is read once nobody wants the preparation."""

    def __init__(self, file: BinaryIO, time: PreparationTime) -> None:
        self._file = file
        self._time = time

    def read(self, size: int = -1, /) -> bytes:
        """PreparationAbandoned, PreparationTimeOver."""
        self._time.look()
        return self._file.read(size)
