"""The newest snapshots of pools on this machine's own disk, for an opening while the object store is away.

They lie under the keys that they have in the store, and are believed no more than those: a name has a seal and says
what the bytes hash to, and the ledger says whether the record that a snapshot follows lies where the snapshot says.
Without installation keys there are no seals; then these are the only ones that a scheduler believes, because nobody
but the scheduler's own user writes here.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from contract.snapshot_names import names_in, prefix_of
from runtime.object_store import Missing, OtherSize

KEPT = 2
"""Of each pool: the newest, and one in case the newest is damaged."""


class DiskSnapshots:
    """As much of the object store's interface as reading snapshots needs. Each call asks the disk: OSError."""

    def __init__(self, root: Path | None) -> None:
        """None: keep nothing."""
        self._root = root

    def list(self, prefix: str) -> list[str]:
        """Every key that starts with `prefix`, which ends with a slash, sorted."""
        if self._root is None:
            return []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(prefix + name for name in os.listdir(self._root / prefix))  # noqa: PTH208 # names are wanted
        return []

    def get(self, key: str, bytes_max: int) -> bytes:
        """Missing when there is no such snapshot; OtherSize when it has more than `bytes_max`."""
        if self._root is None:
            raise Missing(key)
        try:
            with (self._root / key).open("rb") as file:
                data = file.read(bytes_max + 1)
        except FileNotFoundError:
            raise Missing(key) from None
        if len(data) > bytes_max:
            raise OtherSize(key, f"at most {bytes_max} bytes", "more")
        return data

    def save(self, pool: str, key: str, data: bytes) -> None:
        """Keep the snapshot, whole or not at all whenever the machine stops. Older ones than the KEPT newest, and what
        a crash left half written, are deleted."""
        if self._root is None:
            return
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{uuid.uuid4().hex}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # an end of the process, too, leaves no half a file behind
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        kept = {name.key for name in names_in(self.list(prefix_of(pool)))[-KEPT:]} | {key}
        for other in self.list(prefix_of(pool)):
            if other not in kept:
                (self._root / other).unlink(missing_ok=True)
