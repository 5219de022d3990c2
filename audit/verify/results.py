"""I8 against the object store: the manifest of an accepted result is there and has the accepted digest."""

from __future__ import annotations

import hashlib
from typing import Protocol

from audit.verify.verdict import Finding
from contract import events as said
from contract.batch import Batch
from contract.bounds import visible
from contract.codec import Malformed, decode_result
from contract.results import EMPTY_MANIFEST, MANIFEST_NAME, RESULT_MANIFEST_BYTES_MAX, attempt_prefix
from runtime.object_store import OtherSize

SAID_CHARACTERS_MAX = 300
"""Of what a finding quotes of a manifest, which a node wrote."""


class ManifestStore(Protocol):
    """What runtime.object_store offers: `get` raises KeyError when there is no such object, and OtherSize."""

    def get(self, key: str, bytes_max: int) -> bytes: ...

    def exists(self, key: str) -> bool: ...


class AcceptedResults:
    """Takes each batch that counts; `check` then looks into the store."""

    def __init__(self) -> None:
        self._accepted: dict[str, list[tuple[int, str, str]]] = {}
        """By job: (ledger offset, dispatch, manifest) of each result of its lives."""
        self.verified = 0
        """Results that are in the store as they were accepted."""

    def take(self, offset: int, batch: Batch) -> None:
        for event in batch.events:
            if isinstance(event, said.JobSucceeded) and event.manifest != EMPTY_MANIFEST:
                self._accepted.setdefault(event.job, []).append((offset, event.dispatch, event.manifest))
            elif isinstance(event, said.ErasureOrdered | said.JobErased):
                self._accepted.pop(event.job, None)  # its results are deleted on request

    def check(self, store: ManifestStore) -> list[Finding]:
        """What is wrong with the accepted results in the store."""
        found = []
        for job, results in self._accepted.items():
            for offset, dispatch, manifest in results:
                wrong = _verify(store, job, dispatch, manifest)
                if wrong:
                    found.append(Finding(offset, "I8", wrong, job))
                else:
                    self.verified += 1
        return found


def _verify(store: ManifestStore, job: str, dispatch: str, accepted: str) -> str:
    prefix = attempt_prefix(job, dispatch)
    try:
        data = store.get(prefix + MANIFEST_NAME, RESULT_MANIFEST_BYTES_MAX)
    except KeyError:
        return f"expected the accepted manifest at {prefix}{MANIFEST_NAME}, found no object"
    except OtherSize as fault:
        return str(fault)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    if digest != accepted:
        return f"expected a manifest with digest {accepted[:23]}, found {digest[:23]} at {prefix}{MANIFEST_NAME}"
    try:
        manifest = decode_result(data)
    except Malformed as malformed:
        return f"the manifest at {prefix}{MANIFEST_NAME}: {malformed}"
    if (manifest.job, manifest.dispatch) != (job, dispatch):
        other = visible(f"job {manifest.job}, dispatch {manifest.dispatch}")[:SAID_CHARACTERS_MAX]
        return f"the manifest at {prefix}{MANIFEST_NAME} is of {other}"
    missing = [file.name for file in manifest.files if not store.exists(prefix + file.name)]
    named = visible(", ".join(sorted(missing)))[:SAID_CHARACTERS_MAX]
    return f"the files {named} of {prefix} are not in the store" if missing else ""
