"""Versions on this node's disk: fetched by threads, one fetch for all attempts that wait for the same version."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import stamina
import structlog

from contract.error_names import error_name
from gpu_worker.io.background import BackgroundThreads
from gpu_worker.rules.outcome import Failure, disk_failure
from registry.depot import InstalledVersion
from registry.errors import RegistryError
from runtime.object_store import is_away

log = structlog.get_logger(__name__)

OnVersion = Callable[[InstalledVersion | Failure], None]
"""Called with the version on disk, or with why the version cannot be had. Any thread."""


class VersionSource(Protocol):
    """registry.depot.Depot, as far as a node uses the depot."""

    def ensure(self, version: str) -> InstalledVersion: ...
    def mark_used(self, version: str) -> None: ...


class VersionFetcher:
    """May be used from any thread."""

    def __init__(self, depot: VersionSource, patience_s: float) -> None:
        """`patience_s`: how long to try again for a version while the object store does not answer."""
        self._depot = depot
        self._patience_s = patience_s
        self._threads = BackgroundThreads("versions", 4)
        self._lock = threading.Lock()
        self._installed: dict[str, InstalledVersion] = {}
        self._waiting: dict[str, list[OnVersion]] = {}
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

    def prefetch(self, version: str, done: Callable[[], None]) -> None:
        """Have the version on disk; `done` is called, in any thread, when the version is there or cannot be had."""

        def tell(found: InstalledVersion | Failure) -> None:
            if isinstance(found, Failure):
                log.warning("version not fetched", version=version, error=found.error)
            done()

        self.fetch(version, tell)

    def fetch(self, version: str, tell: OnVersion) -> None:
        """Call `tell` with the version; one thread fetches the version, however many wait."""
        with self._lock:
            installed = self._installed.get(version)
            if installed is None:
                waiting = self._waiting.get(version)
                if waiting is not None:
                    waiting.append(tell)
                else:
                    self._waiting[version] = [tell]
                    self._threads.submit(lambda: self._install(version))
                return
        tell(installed)

    def _install(self, version: str) -> None:
        found = self._ensured(version)
        with self._lock:
            if not isinstance(found, Failure):
                self._installed[version] = found
            waiting = self._waiting.pop(version)
        for tell in waiting:
            tell(found)

    def _ensured(self, version: str) -> InstalledVersion | Failure:
        try:
            for attempt in stamina.retry_context(
                on=_may_pass, attempts=None, timeout=self._patience_s, wait_initial=0.5, wait_max=5.0
            ):
                with attempt:
                    return self._depot.ensure(version)
        except OSError as error:
            return disk_failure(error, "environment")
        except Exception as error:  # every attempt that waits for the version must hear that the version cannot be had
            name = type(error).__name__
            return Failure("environment", error_name(name), f"{name}: {error}\n")
        raise AssertionError("unreachable: the last attempt returns or raises")


def _may_pass(error: Exception) -> bool:
    """Whether another try may succeed: a store is away. A version that is broken, or a full disk, stays so."""
    if isinstance(error, RegistryError):
        return error.code == "unavailable"
    return not isinstance(error, OSError) or is_away(error)
