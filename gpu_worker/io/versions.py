"""Versions on this node's disk: fetched by threads, one fetch for all attempts that wait for the same version."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from contract.bounds import HELD_MAX
from contract.error_names import error_name
from gpu_worker.rules.outcome import Failure
from registry.depot import InstalledVersion
from registry.errors import RegistryError
from runtime.worker.background import BackgroundThreads
from runtime.worker.outages import SILENT, GivenUp, OutageWaits, outage

log = structlog.get_logger(__name__)

LOOKS_MAX = 3
"""How often a version that is missing or damaged is looked for: the verdict counts against a job, and a store that just
came up may not show all that it has."""

IsWanted = Callable[[], bool]

OnVersion = Callable[[InstalledVersion | Failure], None]
"""Called with the version on disk, or with why the version cannot be had. Any thread."""


class VersionSource(Protocol):
    """registry.depot.Depot, as far as a node uses the depot."""

    def ensure(self, version: str, *, wheels_from_index: bool = ...) -> InstalledVersion: ...
    def mark_used(self, version: str) -> None: ...


class Waiting(NamedTuple):
    """Somebody who waits for a version."""

    tell: OnVersion
    is_wanted: IsWanted
    wheels_from_index: bool


class VersionFetcher:
    """May be used from any thread."""

    def __init__(self, depot: VersionSource, waits: OutageWaits) -> None:
        self._depot = depot
        self._waits = waits
        self._threads = BackgroundThreads("versions", HELD_MAX)
        self._lock = threading.Lock()
        self._installed: dict[str, InstalledVersion] = {}
        self._waiting: dict[str, list[Waiting]] = {}
        """By version that a thread is fetching: who waits for the version."""

    @property
    def cached(self) -> tuple[str, ...]:
        """Versions that can start at once, sorted."""
        return tuple(sorted(self._installed.copy()))

    def installed(self, version: str) -> InstalledVersion | None:
        """The version, if it can start at once."""
        return self._installed.get(version)

    def distrust(self, version: str) -> None:
        """The version did not start: have the depot look at the version again before its next attempt."""
        self._installed.pop(version, None)

    def prefetch(self, version: str, done: Callable[[], None], *, wheels_from_index: bool = True) -> None:
        """Have the version on disk; `done` is called, in any thread, when the version is there or cannot be had."""

        def tell(found: InstalledVersion | Failure) -> None:
            if isinstance(found, Failure):
                log.warning("version not fetched", version=version, error=found.error)
            done()

        self.fetch(version, tell, wheels_from_index=wheels_from_index)

    def fetch(
        self, version: str, tell: OnVersion, is_wanted: IsWanted = lambda: True, *, wheels_from_index: bool = True
    ) -> None:
        """Call `tell` with the version; one thread fetches the version, however many wait. The thread waits for as long
        as the store or the disk is away and somebody wants the version. `wheels_from_index`: the policy, as whoever
        waits knows it; wheels come from an index only if all agree."""
        with self._lock:
            installed = self._installed.get(version)
            if installed is None:
                waiting = self._waiting.get(version)
                if waiting is not None:
                    waiting.append(Waiting(tell, is_wanted, wheels_from_index))
                else:
                    self._waiting[version] = [Waiting(tell, is_wanted, wheels_from_index)]
                    self._threads.submit(lambda: self._install(version))
                return
        tell(installed)

    def _install(self, version: str) -> None:
        try:
            found = self._ensured(version)
        except GivenUp:
            self._give_up(version)
            return
        with self._lock:
            if not isinstance(found, Failure):
                self._installed[version] = found
            waiting = self._waiting.pop(version)
        for each in waiting:
            each.tell(found)

    def _give_up(self, version: str) -> None:
        """Nobody wanted the version any more: end, unless somebody has come meanwhile."""
        with self._lock:
            if any(each.is_wanted() for each in self._waiting[version]):
                self._threads.submit(lambda: self._install(version))
            else:
                del self._waiting[version]

    def _is_unwanted(self, version: str) -> bool:
        with self._lock:
            return not any(each.is_wanted() for each in self._waiting[version])

    def _ensure(self, version: str) -> InstalledVersion:
        with self._lock:
            wheels_from_index = all(each.wheels_from_index for each in self._waiting[version])
        return self._depot.ensure(version, wheels_from_index=wheels_from_index)

    def _ensured(self, version: str) -> InstalledVersion | Failure:
        looks = 0

        def cause_of(error: Exception) -> str:
            nonlocal looks
            if isinstance(error, RegistryError) and error.code in ("corrupt", "not_found"):
                looks += 1
                return SILENT if looks < LOOKS_MAX else ""
            return _outage(error)

        try:
            return self._waits.until_done(
                f"version {version}", lambda: self._ensure(version), lambda: self._is_unwanted(version), cause_of
            )
        except GivenUp:
            raise
        except OSError as error:
            return Failure("environment", error_name(type(error).__name__))
        except Exception as error:  # every attempt that waits for the version must hear that the version cannot be had
            name = type(error).__name__
            return Failure("environment", error_name(name), f"{name}: {error}\n")


def _outage(error: Exception) -> str:
    """As `outage`: the depot says what is behind its own words."""
    if isinstance(error, RegistryError) and error.code == "unavailable":
        cause = error.__context__
        return outage(cause) if isinstance(cause, OSError) else ""
    return outage(error)
