"""Which versions a node says it has on its disk: all while they fit a record, else the most recently used."""

from __future__ import annotations

from collections.abc import Iterable

from contract.bounds import CACHED_BYTES_MAX


class CachedVersions:
    def __init__(self, versions: Iterable[str]) -> None:
        """`versions` on this disk, the most recently used version first."""
        self._versions = dict.fromkeys(reversed(list(versions)))
        """In the order of their last use, the most recently used version last."""
        self._listed: tuple[str, ...] | None = None

    def use(self, version: str) -> None:
        """The version is on this disk, and is used now."""
        if next(reversed(self._versions), None) != version:
            self._versions.pop(version, None)
            self._versions[version] = None
            self._listed = None

    def add(self, versions: Iterable[str]) -> None:
        """These versions are on this disk. A version that was not there before counts as used now."""
        for version in versions:
            if version not in self._versions:
                self.use(version)

    @property
    def listed(self) -> tuple[str, ...]:
        """The versions to name in a heartbeat: sorted, at most CACHED_BYTES_MAX as JSON."""
        if self._listed is None:
            room, listed = CACHED_BYTES_MAX - len("[]"), []
            for version in reversed(self._versions):
                room -= len(version) + len('"",')
                if room < 0:
                    break
                listed.append(version)
            self._listed = tuple(sorted(listed))
        return self._listed
