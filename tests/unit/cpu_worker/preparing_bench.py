"""One preparation with a store in memory, a clock of its own, scripted URLs and a scripted decoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from contract.codec import decode_prepared, encode
from contract.inputs import JobSubmitted, Submission
from contract.media import OutputSource
from contract.names import payload_digest
from contract.orders import Payload, Prepare
from contract.preparation_reports import PreparationReport
from contract.prepared import (
    MANIFEST_NAME,
    REFUSAL_NAME,
    UPLOAD_DATA,
    UPLOAD_READY,
    MediaFacts,
    PreparedManifest,
    UploadReady,
    preparation_prefix,
    upload_prefix,
)
from contract.results import attempt_prefix
from cpu_worker.io.media_sources import MediaHere, MediaWanted
from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.io.preparation_work import PreparationWork, PreparingTools, Told
from cpu_worker.io.version_inputs import VersionInputs
from cpu_worker.rules.actions import PreparationPhase
from registry.environment_lock import environment
from registry.errors import RegistryError
from registry.manifest import Manifest, digest_of, encode_manifest
from runtime.egress.egress import Fetched, Sink
from runtime.worker.outages import OutageWaits
from tests.twin.object_store import TwinObjectStore
from tests.unit.cpu_worker.worker_orders import JOB, OTHER, prepare

TENANT, SALT = "acme", "00" * 16
DATA = b"a clip"
UPLOAD = "u-" + "0" * 32
OUTPUT = f"job:{OTHER}/video.mp4"
URL = "https://media.example/clip.mp4"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "prompt": {"type": "string", "maxLength": 20},
        "video": {"type": "string", "format": "video", "media": {"bytes_max": 1_000, "width": 8, "height": 8}},
        "stills": {"type": "array", "items": {"type": "string", "format": "image"}},
    },
}

VERSION = Manifest(
    name="clip",
    entry_point="model:Model",
    code=(),
    weights=(),
    environment=environment("3.11", "linux_x86_64", ()),
    inputs=SCHEMA,
    outputs={"type": "object"},
    chipsets=("cpu",),
    gpus=0,
    ranks=1,
    memory_mib=0,
    timeout_ms=1_000,
)


class Decoder:
    """Makes a file of the source's bytes, backwards, unless the test says otherwise."""

    def __init__(self) -> None:
        self.checks: Callable[[MediaWanted], None] = lambda wanted: None
        self.decodes: Callable[[Path, PreparationTime], None] = lambda target, time: None
        self.decoded: list[MediaWanted] = []

    def check(self, wanted: MediaWanted, source: MediaHere) -> None:
        self.checks(wanted)

    def decode(
        self, wanted: MediaWanted, source: MediaHere, target: Path, scratch: Path, time: PreparationTime
    ) -> MediaFacts:
        self.decoded.append(wanted)
        target.write_bytes(source.path.read_bytes()[::-1])
        self.decodes(target, time)
        return MediaFacts("mp4", "h264", source.bytes, source.sha256, frames=1)


class Urls:
    """Answers each fetch as the script says: bytes, or what is raised after half of them."""

    def __init__(self) -> None:
        self.script: list[bytes | Exception] = []
        self.asked: list[tuple[str, int]] = []

    def fetch(self, url: str, sink: Sink, *, bytes_max: int, types: Sequence[str], **more: Any) -> Fetched:
        self.asked.append((url, bytes_max))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            sink(b"half")
            raise answer
        sink(answer)
        return Fetched(len(answer), hashlib.sha256(answer).hexdigest(), "video/mp4")


class Blobs:
    """Manifests of versions: only their input schema matters here."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []
        self.reads = 0

    def read(self, sha256: str, bytes_max: int) -> bytes:
        self.reads += 1
        if self.faults:
            raise self.faults.pop(0)
        return encode_manifest(VERSION)


class PreparingBench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = TwinObjectStore()
        self.decoder, self.urls, self.blobs = Decoder(), Urls(), Blobs()
        self.clock = self.store.clock
        self.jobs: Callable[[], bytes | None] = lambda: None
        """What lies in `jobs` at the order's offset."""
        self.waits: list[tuple[str, str]] = []
        self.phases: list[PreparationPhase] = []
        self.held: list[int] = []
        self.versions = VersionInputs(self.blobs)
        self.time: PreparationTime | None = None
        self.upload()

    def upload(self, data: bytes = DATA, upload: str = UPLOAD, tenant: str = TENANT, **changes: Any) -> str:
        ready = UploadReady(tenant, upload, len(data), hashlib.sha256(data).hexdigest())
        prefix = upload_prefix(TENANT, upload)
        self.store.place(prefix + UPLOAD_READY, encode(msgspec.structs.replace(ready, **changes)))
        self.store.place(prefix + UPLOAD_DATA, data)
        return f"upload:{upload}"

    def output(self, data: bytes = DATA) -> OutputSource:
        self.store.place(attempt_prefix(OTHER, "1.0.0") + "video.mp4", data)
        return OutputSource(OUTPUT, "1.0.0", hashlib.sha256(data).hexdigest(), len(data))

    def order(
        self, inputs: Any, outputs: tuple[OutputSource, ...] = (), *, carried: bool = True, **changes: Any
    ) -> Prepare:
        raw = inputs if isinstance(inputs, bytes) else json.dumps(inputs).encode()
        digest = payload_digest(SALT, raw)
        said = Submission(JOB, TENANT, "api", "clip", digest, "api", media=1)
        record = encode(JobSubmitted(said, msgspec.Raw(raw), SALT, outputs))
        self.jobs = lambda: record
        payload = Payload(msgspec.Raw(raw), SALT, outputs) if carried else None
        return prepare(digest=digest, payload=payload, **{"version": digest_of(VERSION), **changes})

    def report(self, order: Prepare) -> PreparationReport | None:
        self.time = PreparationTime(order.timeout_ms / 1000, self.clock.now_s, self.clock.pass_)
        waits = OutageWaits(
            lambda what, cause: self.waits.append((what, cause)), pause=self.clock.pass_, now_s=self.clock.now_s
        )
        tools = PreparingTools(self.store, self.urls, self.versions, lambda *_: self.jobs(), waits, waits)
        folder = self.folder / f"{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        told = Told(self.phases.append, self.held.append)
        return PreparationWork(order, tools, self.decoder, folder, self.time, told).report()

    def stored(self, order: Prepare) -> dict[str, bytes]:
        """Objects of the preparation, by their names."""
        prefix = preparation_prefix(order.job, order.preparation)
        return {key.removeprefix(prefix): data for key, data in self.store.objects.items() if key.startswith(prefix)}

    def manifest(self, order: Prepare) -> PreparedManifest:
        return decode_prepared(self.stored(order)[MANIFEST_NAME])

    def sentence(self, order: Prepare) -> str:
        return self.stored(order)[REFUSAL_NAME].decode()


def missing_version() -> RegistryError:
    return RegistryError("not_found", "no such blob")
