"""Prepared media in a store, as a CPU worker leaves them, for tests of what a node fetches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from contract.codec import encode
from contract.names import digest_of
from contract.orders import PreparedInputs
from contract.prepared import MANIFEST_NAME, MediaFacts, PreparedFile, PreparedManifest, preparation_prefix
from tests.twin.object_store import TwinObjectStore

PREPARATION = "1.5.0"
FACTS = MediaFacts("mp4", "h264", 100, "ab" * 32)


def prepared_file(name: str, data: bytes, field: str, index: int = 0) -> PreparedFile:
    sha256 = hashlib.sha256(data).hexdigest()
    return PreparedFile(field, index, name, sha256, len(data), "video", "frames", FACTS)


def prepare(
    store: TwinObjectStore, job: str, files: Mapping[tuple[str, int], bytes], /, **changes: Any
) -> PreparedInputs:
    """Leave these files, by field and index, and say where. `changes`: of the manifest."""
    prefix = preparation_prefix(job, PREPARATION)
    listed = []
    for place, ((field, index), data) in enumerate(files.items()):
        store.place(f"{prefix}{place}.npy", data)
        listed.append(prepared_file(f"{place}.npy", data, field, index))
    manifest = PreparedManifest(job, PREPARATION, "v", "sha256:00", tuple(listed), "cd" * 16)
    raw = encode(msgspec.structs.replace(manifest, **changes))
    store.place(prefix + MANIFEST_NAME, raw)
    return PreparedInputs(PREPARATION, digest_of(raw), sum(map(len, files.values())))
