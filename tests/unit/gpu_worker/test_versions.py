"""Versions on a node's disk: what is fetched once, looked at again, or given up."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest

from gpu_worker.io.versions import LOOKS_MAX, VersionFetcher
from gpu_worker.rules.outcome import Failure
from registry.depot import InstalledVersion
from registry.errors import RegistryError
from runtime.worker.outages import OutageWaits
from tests.unit.gpu_worker.programs import installed


class Depot:
    """Raises what the test puts here, then installs."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []
        self.asked = 0
        self.wheels: list[bool] = []
        self.let = threading.Event()
        self.let.set()

    def ensure(self, version: str, *, wheels_from_index: bool = True) -> InstalledVersion:
        self.asked += 1
        self.wheels.append(wheels_from_index)
        assert self.let.wait(10)
        if self.faults:
            raise self.faults.pop(0)
        return installed(version=version)

    def mark_used(self, version: str) -> None:
        raise AssertionError("nobody ran it")


@pytest.fixture
def depot() -> Depot:
    return Depot()


@pytest.fixture
def fetcher(depot: Depot) -> VersionFetcher:
    return VersionFetcher(depot, OutageWaits(lambda what, cause: None, pause=lambda _: None))


def fetched(fetcher: VersionFetcher, version: str = "v1") -> InstalledVersion | Failure:
    told: SimpleQueue[InstalledVersion | Failure] = SimpleQueue()
    fetcher.fetch(version, told.put)
    return told.get(timeout=10)


@pytest.mark.parametrize("wheels", [True, False])
def test_the_policy_about_wheels_reaches_the_depot(fetcher: VersionFetcher, depot: Depot, wheels: bool) -> None:
    told: SimpleQueue[InstalledVersion | Failure] = SimpleQueue()
    fetcher.fetch("v1", told.put, wheels_from_index=wheels)
    told.get(timeout=10)
    done = threading.Event()
    fetcher.prefetch("v2", done.set, wheels_from_index=wheels)
    assert done.wait(10)
    assert depot.wheels == [wheels, wheels]


def test_all_that_wait_for_a_version_wait_for_one_fetch(fetcher: VersionFetcher, depot: Depot) -> None:
    depot.let.clear()
    told: SimpleQueue[InstalledVersion | Failure] = SimpleQueue()
    for _ in range(3):
        fetcher.fetch("v1", told.put)
    assert (fetcher.installed("v1"), fetcher.cached) == (None, ())
    depot.let.set()
    assert [told.get(timeout=10) for _ in range(3)] == [installed(version="v1")] * 3
    assert (depot.asked, fetcher.cached) == (1, ("v1",))


def test_a_version_that_did_not_start_is_looked_at_again(fetcher: VersionFetcher, depot: Depot) -> None:
    for _ in range(2):
        fetched(fetcher)
    assert depot.asked == 1
    fetcher.distrust("v1")
    assert fetcher.installed("v1") is None
    fetched(fetcher)
    assert depot.asked == 2


def test_what_is_missing_is_looked_for_a_few_times_before_it_is_told(fetcher: VersionFetcher, depot: Depot) -> None:
    depot.faults = [RegistryError("not_found", "no such blob") for _ in range(LOOKS_MAX - 1)]
    assert isinstance(fetched(fetcher), InstalledVersion)
    fetcher.distrust("v1")
    depot.asked, depot.faults = 0, [RegistryError("corrupt", "another digest") for _ in range(LOOKS_MAX)]
    failure = fetched(fetcher)
    assert isinstance(failure, Failure)
    assert (failure.kind, depot.asked) == ("environment", LOOKS_MAX)
    assert fetcher.cached == ()


def test_a_fetch_that_nobody_wants_ends_and_goes_on_for_whoever_comes_meanwhile(
    fetcher: VersionFetcher, depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: SimpleQueue[InstalledVersion | Failure] = SimpleQueue()
    give_up = fetcher._give_up

    def late(version: str) -> None:
        fetcher.fetch(version, told.put)
        give_up(version)

    monkeypatch.setattr(fetcher, "_give_up", late)
    fetcher.fetch("v1", lambda found: None, lambda: False)
    assert isinstance(told.get(timeout=10), InstalledVersion)
    assert depot.asked == 1, "the first to ask was gone before anything was fetched"


def test_a_fetch_that_was_given_up_keeps_nobody_from_another(
    fetcher: VersionFetcher, depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up: SimpleQueue[str] = SimpleQueue()
    give_up = fetcher._give_up

    def noted(version: str) -> None:
        give_up(version)
        given_up.put(version)

    monkeypatch.setattr(fetcher, "_give_up", noted)
    fetcher.fetch("v1", lambda found: None, lambda: False)
    assert given_up.get(timeout=10) == "v1"
    assert isinstance(fetched(fetcher), InstalledVersion)
