"""A job that succeeded, as tests of its result and of what names its outputs begin with it."""

from __future__ import annotations

import hashlib

import msgspec

from contract.codec import encode
from contract.results import ResultFile, ResultManifest, attempt_prefix
from runtime.object_store import ObjectStore
from tests.integration.api.conftest import Caller, Views
from tests.unit.views.ledger import VERSION, job_of

VIDEO = b"not really a video"


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def run_with(views: Views, store: ObjectStore, caller: Caller, **changes: object) -> tuple[str, bytes]:
    """A job that succeeded with one file. The stored manifest may differ from the manifest that the ledger accepted."""
    ledger = views.main
    job = job_of("main", caller.tenant)
    ledger.write(ledger.accepted(job, caller.tenant))
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job))
    manifest = ResultManifest(
        job,
        ledger.dispatch(job),
        VERSION,
        msgspec.Raw(b'{"seed": 7}'),
        (ResultFile("clip.mp4", digest(VIDEO), len(VIDEO), "video/mp4"),),
    )
    raw = encode(manifest)
    ledger.write(ledger.succeeded(job, "sha256:" + digest(raw)))
    views.show()
    prefix = attempt_prefix(job, ledger.dispatch(job))
    store.put(prefix + "clip.mp4", VIDEO)
    stored = encode(msgspec.structs.replace(manifest, **changes)) if changes else raw
    store.put(prefix + "manifest.json", stored)
    return job, raw
