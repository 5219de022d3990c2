"""The manifest: everything that makes a version what it is, as canonical JSON. Its sha256 names the version.

A manifest has no time, host or author, so publishing the same directory again, anywhere, gives the same digest. A
changed field would rename every version: a new field needs a default that is left out of the JSON.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from contract.bounds import visible
from contract.inputs import Requirements
from contract.names import DIGEST, is_name
from registry.environment_lock import Environment
from registry.errors import RegistryError

MANIFEST_BYTES_MAX = 16 * 1024 * 1024
"""Of a version's manifest. No larger one is published, and nobody reads one."""
SAID_CHARACTERS_MAX = 300
"""Of what the decoder says of a manifest that it cannot read: it quotes the manifest."""


class VersionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a version."""

    path: str
    """Relative to the code or weights folder, with `/`. It never leads out of the folder."""
    sha256: str
    """64 hex digits."""
    bytes: int


class Manifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="Manifest.v1", omit_defaults=False, kw_only=True
):
    """A version. Files are sorted by path, chipsets by name."""

    name: str
    entry_point: str
    """`module:Class`, importable from the code folder."""
    code: tuple[VersionFile, ...]
    weights: tuple[VersionFile, ...]
    environment: Environment
    inputs: dict[str, Any]
    """JSON Schema of what `predict` takes."""
    outputs: dict[str, Any]
    """JSON Schema of what `predict` returns."""
    chipsets: tuple[str, ...]
    gpus: int
    """GPUs of one slot; 0 for a version that runs on a CPU only."""
    ranks: int
    """How many slots of one cluster start one attempt together."""
    memory_mib: int
    """Memory a slot must offer."""
    timeout_ms: int
    """The longest an attempt may run."""
    network: bool | msgspec.UnsetType = msgspec.UNSET
    """True: the version asks for the network of its node, which it has where the policy allows it. Not written
    otherwise, so that versions keep the digests that they had before there was this field."""

    @property
    def requirements(self) -> Requirements:
        """What a slot must have, as the scheduler reads it."""
        return Requirements(self.chipsets, self.gpus, self.memory_mib, self.ranks)


def encode_manifest(manifest: Manifest) -> bytes:
    """Canonical JSON: keys sorted everywhere, no spaces, UTF-8."""
    return msgspec.json.encode(manifest, order="sorted")


def digest_of(manifest: Manifest) -> str:
    """The version's identity, `sha256:<64 hex>`."""
    return "sha256:" + hashlib.sha256(encode_manifest(manifest)).hexdigest()


def decode_manifest(raw: bytes, digest: str) -> Manifest:
    """The manifest in these bytes. RegistryError(corrupt) when `digest` names other bytes, or nobody can read them."""
    found = "sha256:" + hashlib.sha256(raw).hexdigest()
    if found != digest:
        raise RegistryError(
            "corrupt",
            f"manifest: expected the bytes of {digest}, found those of {found};"
            " somebody changed or cut the object: restore it from a backup or publish the version again",
        )
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = visible(str(error))[:SAID_CHARACTERS_MAX]
        raise RegistryError(
            "corrupt", f"manifest {digest}: expected a manifest this release can read: {fault}; upgrade this node"
        ) from None
    for file in (*manifest.code, *manifest.weights):
        if not is_inside(file.path):
            raise RegistryError(
                "corrupt", f"manifest {digest}: expected a path inside the version, found {file.path[:200]!r}"
            )
        if not DIGEST.fullmatch("sha256:" + file.sha256) or file.bytes < 0:
            raise RegistryError("corrupt", f"manifest {digest}: expected a sha256 and a size for {file.path[:200]!r}")
    if not is_name(manifest.name):
        raise RegistryError("corrupt", f"manifest {digest}: expected a model name, found {manifest.name[:80]!r}")
    return manifest


def is_inside(path: str) -> bool:
    """Whether the path is relative and of plain names: joined to a folder, such a path stays in the folder."""
    return (
        0 < len(path) <= 512
        and "\\" not in path
        and path.isprintable()
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )


def blob_key(sha256: str) -> str:
    """The key of the blob with this hash (64 hex digits, with or without `sha256:`) in the object store."""
    return "blobs/sha256/" + sha256.removeprefix("sha256:")
