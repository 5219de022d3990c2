"""Whether the object store does its work, by asking it for some."""

from __future__ import annotations

import re

import pytest

from local.errors import CannotStart
from runtime.object_store import StoreAway, StoreFault
from runtime.object_store_health import ask
from runtime.settings import Settings
from tests.twin.object_store import StoreFaults, TwinObjectStore


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (StoreFaults(away=True), "the object store does not answer (EndpointConnectionError)"),
        (StoreFaults(hangs=True), "the object store does not answer in time"),
        (StoreFaults(read_only=True), "the object store answered 403 AccessDenied to PutObject"),
        (StoreFaults(alters=True), "the object store returned other bytes than those it was given"),
    ],
)
def test_what_the_store_does_not_do_is_said(faults: StoreFaults, said: str) -> None:
    store = TwinObjectStore(tries=1)
    store.state.faults = faults
    with pytest.raises(StoreFault, match=re.escape(said)):
        ask(store, "test")
    store.mend()
    ask(store, "test")


@pytest.mark.parametrize(
    "faults", [StoreFaults(refuses=frozenset({"conditional_writes"})), StoreFaults(ignores_conditions=True)]
)
def test_an_installation_is_not_begun_on_a_store_without_conditional_writes(
    monkeypatch: pytest.MonkeyPatch, faults: StoreFaults
) -> None:
    from local import install

    store = TwinObjectStore()
    monkeypatch.setattr(install, "ObjectStore", lambda settings: store)
    install.install_bucket(Settings())
    store.state.faults = faults
    with pytest.raises(CannotStart, match="expected an object store with conditional writes"):
        install.install_bucket(Settings())
    assert store.objects == {}


def test_a_full_store_does_not_do_its_work() -> None:
    store = TwinObjectStore()
    with store.faulty(full=True), pytest.raises(StoreAway, match="507"):
        ask(store, "test")
