"""Which versions a node says it has on its disk: all of them while they fit a record, else those it used last."""

from __future__ import annotations

from collections.abc import Iterable

from contract.bounds import CACHED_BYTES_MAX


class CachedVersions:
    def __init__(self, versions: Iterable[str]) -> None:
        """`versions` that are there, the one that was used last first."""
        self._versions = dict.fromkeys(reversed(list(versions)))
        """In the order of their last use."""
        self._listed: tuple[str, ...] | None = None

    def use(self, version: str) -> None:
        """The version is there, and is used now."""
        if next(reversed(self._versions), None) != version:
            self._versions.pop(version, None)
            self._versions[version] = None
            self._listed = None

    def add(self, versions: Iterable[str]) -> None:
        """These are there; one that was not before counts as used now."""
        for version in versions:
            if version not in self._versions:
                self.use(version)

    @property
    def listed(self) -> tuple[str, ...]:
        """What to say: sorted, at most CACHED_BYTES_MAX as JSON."""
        if self._listed is None:
            room, listed = CACHED_BYTES_MAX - len("[]"), []
            for version in reversed(self._versions):
                room -= len(version) + len('"",')
                if room < 0:
                    break
                listed.append(version)
            self._listed = tuple(sorted(listed))
        return self._listed
