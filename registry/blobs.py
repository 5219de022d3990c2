"""Blobs: bytes named by their sha256, in the object store for ever and in the cache of a node.

Nobody trusts a name: bytes are hashed when they are stored, and hashed again by whoever takes them out.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import RegistryError
from registry.file_lock import hold
from registry.manifest import VersionFile, blob_key
from registry.model_directory import hash_of_file
from runtime.object_store import Missing, ObjectStore, OtherSize

WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""A file up to this size is read once, so the bytes that are stored are those that were hashed."""

Signature = tuple[int, int, int, int]


def signature(path: Path) -> Signature:
    """Changes whenever the file is written to or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def upload(store: ObjectStore, file: VersionFile, path: Path, before: Signature) -> bool:
    """Stores the file under its hash; False when the store has the blob already.

    `before` is the file's signature from before it was hashed. RegistryError(conflict) when the file has changed."""
    key = blob_key(file.sha256)
    if file.bytes <= WHOLE_BYTES_MAX:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise _changed(path)
        return store.put(key, data, if_absent=True)
    if signature(path) != before:
        raise _changed(path)
    new = store.put_file(key, path, if_absent=True)
    if new and signature(path) != before:
        store.delete_prefix(key)
        raise _changed(path)
    return new


def _changed(path: Path) -> RegistryError:
    return RegistryError(
        "conflict", f"{path}: expected the bytes that were checked, found that the file has changed; publish again"
    )


class BlobCache:
    """Verified blobs on the disk of this machine. Processes and threads may share a cache."""

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self._root = root
        self._store = store

    def read(self, sha256: str, bytes_max: int) -> bytes:
        """A small blob straight from the store. RegistryError: not_found, corrupt."""
        try:
            data = self._store.get(blob_key(sha256), bytes_max)
        except Missing:
            raise _missing(sha256) from None
        except OtherSize:
            raise _corrupt(sha256, f"more than the {bytes_max} that it may have") from None
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise _corrupt(sha256, f"bytes with {found}")
        return data

    def fetch(self, file: VersionFile) -> Path:
        """Path of the blob, whose hash was verified just now. RegistryError: not_found, corrupt, unavailable."""
        path = self._root / file.sha256
        with disk_faults(self._root), hold(self._root / f"{file.sha256}.lock", f"blob {file.sha256[:12]}"):
            if not path.is_file() or hash_of_file(path)[0] != file.sha256:
                path.unlink(missing_ok=True)
                self._download(file, path)
        return path

    def _download(self, file: VersionFile, path: Path) -> None:
        sha256 = file.sha256
        temporary = path.with_name(f".fetching-{sha256}")  # one name a blob: the next try overwrites what a crash left
        try:
            self._store.get_file(blob_key(sha256), temporary, file.bytes)
            found, _ = hash_of_file(temporary)
            if found != sha256:
                raise _corrupt(sha256, f"bytes with {found}")
            temporary.chmod(0o444)
            temporary.replace(path)
        except Missing:
            raise _missing(sha256) from None
        except OtherSize:
            raise _corrupt(sha256, f"more or fewer than {file.bytes} bytes") from None
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turns a full disk into a RegistryError(unavailable) that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise RegistryError(
            "unavailable",
            f"{path}: expected room for a version's files, found the disk full;"
            " free some space or point HEADRACE_DATA to another disk",
        ) from None


def _missing(sha256: str) -> RegistryError:
    return RegistryError(
        "not_found",
        f"expected {blob_key(sha256)} in the object store, found none;"
        " restore the bucket, or publish the version's directory again",
    )


def _corrupt(sha256: str, found: str) -> RegistryError:
    return RegistryError(
        "corrupt",
        f"{blob_key(sha256)}: expected bytes with this sha256, found {found}, and used none of them."
        " Delete that object and publish the version's directory again",
    )
