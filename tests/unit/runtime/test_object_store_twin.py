"""The object store's twin does what the real store does: the cases of tests/integration/runtime/test_object_store."""

from __future__ import annotations

import inspect

import pytest

from runtime.object_store import Missing, ObjectStore, StoreAway
from tests.twin.object_parts import TwinParts
from tests.twin.object_store import StoreFaults, TwinObjectStore, TwinState
from tests.twin.object_store_conformance import Faulty, FaultyStoreConformance, ObjectStoreConformance

BYTES_MAX = 2**26
"""More than any object here has."""


class TestTwin(ObjectStoreConformance):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return TwinObjectStore()


class FaultyTwin(Faulty):
    def __init__(self) -> None:
        self.state = TwinState()

    def __call__(self, fault: str, *, checksums: bool = True) -> ObjectStore:
        if fault in ("checksums", "batch_deletes", "conditional_writes"):
            self.state.faults = StoreFaults(refuses=frozenset({fault}))
        elif fault == "busy":
            self.state.faults = StoreFaults(busy_rate=1.0)
        else:
            self.state.faults = StoreFaults()
            if fault != "none":
                setattr(self.state.faults, fault, True)
        return TwinObjectStore(state=self.state, checksums=checksums)


class TestFaultyTwin(FaultyStoreConformance):
    @pytest.fixture
    def faulty(self) -> Faulty:
        return FaultyTwin()


def test_the_twin_has_every_method_of_the_store() -> None:
    """A method that the twin inherits would talk to a client that the twin does not have."""
    public = {name for name, _ in inspect.getmembers(ObjectStore, inspect.isfunction) if not name.startswith("_")}
    assert public - set(vars(TwinObjectStore)) - set(vars(TwinParts)) == {"delete", "delete_prefix"}, (
        "which call the twin's own deletes"
    )


def test_time_passes_on_the_clock_of_the_test() -> None:
    store = TwinObjectStore(read_timeout_s=10, tries=2)
    with store.faulty(hangs=True), pytest.raises(StoreAway):
        store.get("a", BYTES_MAX)
    assert store.clock.now_s() == 20
    with store.faulty(slow_s=3):
        store.put("a", b"1")
    assert store.clock.now_s() == 23


def test_a_new_object_may_be_listed_late_and_is_read_at_once() -> None:
    store = TwinObjectStore()
    store.state.faults = StoreFaults(lists_after_s=5)
    store.clock.pass_(5)
    store.put("a", b"1")
    assert store.get("a", BYTES_MAX) == b"1"
    assert store.list("a") == []
    store.clock.pass_(5)
    assert store.list("a") == ["a"]


def test_one_seed_draws_the_same_faults_again() -> None:
    def drawn(seed: int) -> list[bool]:
        store, answers = TwinObjectStore(seed=seed, tries=1), []
        store.state.faults = StoreFaults(busy_rate=0.5)
        for _ in range(40):
            try:
                store.get("none", BYTES_MAX)
            except StoreAway:
                answers.append(False)
            except Missing:
                answers.append(True)
        return answers

    assert drawn(1) == drawn(1) != drawn(2)
    assert {True, False} == set(drawn(1))
