"""Pasts of ledgers that tests made, with snapshots in a dictionary."""

from __future__ import annotations

from collections.abc import Iterator

from audit.ledger.past import LedgerPast, Remembered
from audit.ledger.reader import LedgerRecord
from audit.ledger.walk import Walk
from contract.snapshot_names import key_of, names_in
from runtime.object_store import Missing
from scheduling import snapshot
from scheduling.state.pool import State, initial_state
from tests.unit.audit.ledger import POOL, Ledger


class Store:
    """The object store as a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def list(self, prefix: str) -> list[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    def get(self, key: str, bytes_max: int) -> bytes:
        if key not in self.objects:
            raise Missing(key)
        return self.objects[key]

    def keep(self, state: State) -> str:
        data = snapshot.encode(state)
        key = key_of(POOL, state.head_offset, state.now_ms, data)
        self.objects[key] = data
        return key


class WatchedPast(LedgerPast):
    read_from: list[int]
    """The offset at which each reading began."""


def past_of(ledger: Ledger, store: Store | None = None, remembered: tuple[Remembered, ...] = ()) -> WatchedPast:
    read: list[int] = []

    def records(first: int) -> Iterator[LedgerRecord]:
        read.append(first)
        return iter([record for record in ledger.records if record.offset >= first])

    past = WatchedPast(
        POOL,
        records,
        end=ledger.records[-1].offset + 1,
        store=store,  # type: ignore[arg-type]
        names=names_in(store.objects if store is not None else ()),
        remembered=remembered,
    )
    past.read_from = read
    return past


def folded(ledger: Ledger, upto: int) -> State:
    """The state after this record."""
    walk = Walk(past_of(ledger), initial_state(POOL))
    for offset, _ in walk:
        if offset > upto:
            break
    return walk.state
