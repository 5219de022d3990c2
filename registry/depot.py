"""The depot: published versions on a node's disk, ready to run.

    blobs/<sha256>             verified bytes
    versions/<hex>/            manifest.json, code/, weights/ (links to blobs), complete.json (written last)
    environments/<digest>/     venvs, shared by versions with the same lock

Every blob is hashed when it arrives and when it is linked into a version (I12). When a node starts, and before its
first use of a version, size, inode and time of each file of the version and of its environment are checked; what
differs is deleted and made again. Whoever runs as the user of this node can forge those marks, so children write
nothing here: they are another user, or see the depot without a right to write (gpu_worker.child).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from contract.names import DIGEST
from registry.blobs import BlobCache, disk_faults
from registry.environment_lock import environment_digest
from registry.environments import Environments
from registry.errors import RegistryError
from registry.file_lock import hold
from registry.manifest import MANIFEST_BYTES_MAX, Manifest, VersionFile, decode_manifest
from registry.trees import let_others_read, marks_of
from runtime.object_store import ObjectStore

FETCHES_AT_ONCE = 4
COMPLETE = "complete.json"
MANIFEST = "manifest.json"


class InstalledVersion(msgspec.Struct, frozen=True):
    """A version that may be run."""

    version: str
    manifest: Manifest
    code: Path
    """Folder to import the entry point from."""
    weights: Path
    """Folder of the safetensors files."""
    python: Path
    """Interpreter of the version's environment."""


class _Marker(msgspec.Struct, frozen=True):
    """What complete.json holds: of each file its path, size, inode and modification time in ns."""

    files: dict[str, tuple[int, int, int]]


class Depot:
    """The versions under `root`. Processes and threads may share a depot: each version is fetched once."""

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self._root = root.absolute()
        self._blobs = BlobCache(self._root / "blobs", store)
        self._environments = Environments(self._root / "environments", store, self._blobs)

    def ensure(self, version: str, *, wheels_from_index: bool = True) -> InstalledVersion:
        """Makes sure that the version (`sha256:…`) is here, whole and verified. Blocks while it is fetched.
        `wheels_from_index`, from the policy: whether wheels may come from the cache of uv or from the package index.

        RegistryError: not_found, corrupt, environment, unavailable. A store that is away raises its own error."""
        if not DIGEST.fullmatch(version):
            raise RegistryError("invalid", f"expected a version like sha256:<64 hex digits>, found {version[:80]!r}")
        place = self._place(version)
        with disk_faults(self._root), hold(place.parent / f"{place.name}.lock", f"version {version[:19]}"):
            manifest = self._untouched(version)
            if manifest is None:
                shutil.rmtree(place, ignore_errors=True)
                manifest = self._fetch(version, place)
            let_others_read(place)
        python = self._environments.ensure(manifest.environment, place / "code", wheels_from_index=wheels_from_index)
        self.mark_used(version)
        return InstalledVersion(version, manifest, place / "code", place / "weights", python)

    def cached(self) -> list[str]:
        """Digests of the versions that are here whole, with their environments; the last used version first."""
        folder = self._root / "versions"
        names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        found = []
        for version in ("sha256:" + name for name in names):
            manifest = self._untouched(version) if DIGEST.fullmatch(version) else None
            if manifest and self._environments.is_complete(environment_digest(manifest.environment)):
                found.append(version)
        return sorted(found, key=self._used_ns, reverse=True)

    def mark_used(self, version: str) -> None:
        """Makes `cached` put the version first. Changes nothing when the version is not here."""
        with contextlib.suppress(OSError):
            os.utime(self._place(version) / COMPLETE)

    def _used_ns(self, version: str) -> int:
        """When the version was used last: the time of its marker, which means nothing else."""
        try:
            return (self._place(version) / COMPLETE).stat().st_mtime_ns
        except OSError:
            return 0

    def _place(self, version: str) -> Path:
        return self._root / "versions" / version.removeprefix("sha256:")

    def _untouched(self, version: str) -> Manifest | None:
        """The manifest of the version if the version is here and nobody has touched its files."""
        place = self._place(version)
        try:
            seen = msgspec.json.decode((place / COMPLETE).read_bytes(), type=_Marker)
            if marks_of(place, COMPLETE) != seen.files:
                return None
            return decode_manifest((place / MANIFEST).read_bytes(), version)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, RegistryError):
            return None

    def _fetch(self, version: str, place: Path) -> Manifest:
        raw = self._blobs.read(version.removeprefix("sha256:"), MANIFEST_BYTES_MAX)
        manifest = decode_manifest(raw, version)
        building = place.with_name(f".building-{place.name}")
        shutil.rmtree(building, ignore_errors=True)  # what a crash left
        building.mkdir()
        try:
            (building / MANIFEST).write_bytes(raw)
            for folder in ("code", "weights"):
                (building / folder).mkdir()
            wanted = [(file, building / "code") for file in manifest.code]
            wanted += [(file, building / "weights") for file in manifest.weights]
            with ThreadPoolExecutor(FETCHES_AT_ONCE) as threads:
                list(threads.map(self._link, *zip(*wanted, strict=True)) if wanted else ())
            (building / COMPLETE).write_bytes(msgspec.json.encode(_Marker(marks_of(building, COMPLETE))))
            building.rename(place)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return manifest

    def _link(self, file: VersionFile, folder: Path) -> None:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(self._blobs.fetch(file))
