"""Why a job waits can be asked while the object store is away, which may be the very reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from api import resources
from api import why as door
from api.metrics import Metrics
from audit.ledger import past
from runtime.object_store import StoreAway
from runtime.object_store_health import ANSWER_S
from runtime.settings import Settings
from tests.twin.object_store import StoreFaults, TwinObjectStore

JOB = "main-" + "0" * 32


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The stores with which a wait was explained, each asked for the snapshots of the pool."""
    stores: list[Any] = []

    def explain(job: str, found: past.LedgerPast, *_: Any) -> Any:
        stores.append(found._store)
        return SimpleNamespace(job=job)

    monkeypatch.setattr(past, "ledger_from", lambda bootstrap, partition: (lambda first: iter(()), 0))
    monkeypatch.setattr(door, "why", explain)
    monkeypatch.setattr(door, "explained", lambda wait, *, operator: wait)
    return stores


def read(store: TwinObjectStore) -> Any:
    row: Any = SimpleNamespace(job=JOB, state="queued", submitted_ms=1)
    held: Any = SimpleNamespace(
        settings=SimpleNamespace(brokers=""), store=store, clock=SimpleNamespace(now_ms=lambda: 2)
    )
    return door._read(held, row, 0, [], operator=False)


def test_snapshots_are_used_where_the_store_has_them(asked: list[Any]) -> None:
    store = TwinObjectStore()
    assert read(store).job == JOB
    assert asked == [store]


@pytest.mark.parametrize("faults", [StoreFaults(away=True), StoreFaults(hangs=True)], ids=["away", "hangs"])
def test_without_the_store_the_ledger_is_read_from_its_beginning(asked: list[Any], faults: StoreFaults) -> None:
    store = TwinObjectStore()
    store.state.faults = faults
    assert read(store).job == JOB
    assert asked == [None]


def test_a_store_that_goes_away_while_it_is_read_is_done_without(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(job: str, found: past.LedgerPast, *_: Any) -> Any:
        if found._store is not None:
            raise StoreAway("gone")
        return SimpleNamespace(job=job)

    monkeypatch.setattr(door, "why", explain)
    assert read(TwinObjectStore()).job == JOB


def test_nobody_waits_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try of a few seconds, and then 503: a client gives up sooner than the store's patient time-outs end."""
    for name in ("Producer", "ProgressReader", "Feed"):
        monkeypatch.setattr(resources, name, lambda *_, **__: None)
    asked = resources.Resources(Settings(), Metrics()).store._client.meta.config
    assert (asked.read_timeout, asked.retries["total_max_attempts"]) == (ANSWER_S, 1)
