"""Where the past of one pool is read from: its ledger, the snapshots beside the ledger, and who else remembers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from audit.ledger.damage import Damage
from audit.ledger.reader import LedgerRecord, ledger_from, ledger_growing, ledger_of_file
from audit.ledger.snapshots import PastSnapshots
from contract.snapshot_names import SnapshotName, nearest_before
from runtime.kafka_credentials import Brokers
from runtime.object_store import ObjectStore
from runtime.snapshots import first_usable
from scheduling import snapshot
from scheduling.state.pool import State, initial_state

LedgerFrom = Callable[[int], Iterator[LedgerRecord]]
"""Reads a ledger from an offset on, in the log's order. Every call reads the same records again."""


class Remembered(NamedTuple):
    """A ledger record that somebody outside the ledger knows."""

    source: str
    """Who knows the record, for people: `snapshot snapshots/main/…`, `the views`."""
    offset: int


class LedgerPast:
    """The past of one pool."""

    def __init__(
        self,
        pool: str,
        ledger: LedgerFrom,
        *,
        end: int | None = None,
        store: ObjectStore | None = None,
        names: Iterable[SnapshotName] = (),
        remembered: Iterable[Remembered] = (),
        growing: LedgerFrom | None = None,
        proved: bool = True,
    ) -> None:
        """`end` is the offset after the ledger's last record; None when nobody can say. `names` are the snapshots in
        the store, oldest first. Ask for `names` and `remembered` before you ask for `end`: then every record that they
        name must be in the ledger. `growing` reads the same records as `ledger` and goes on with those that are
        appended later; a walk reads `growing` where there is one. `proved`: the seals of `names` were checked."""
        self.pool, self.end = pool, end
        self.ledger: Final = ledger
        self.growing: Final = growing or ledger
        self._store = store
        self._names = list(names)
        self.proved: Final = proved
        newest = [Remembered(f"snapshot {name.key}", name.offset) for name in self._names[-1:] if proved]
        self._remembered = [*remembered, *newest]

    def state_before(self, at_ms: int) -> State:
        """The newest stored state that is not later than this moment and can be read; without one the initial state."""
        within = [name for name in self._names if self.end is None or name.offset < self.end]
        if self._store is not None:
            found = first_usable(self._store, nearest_before(within, at_ms), snapshot.decode)
            if found is not None:
                return found.state
        return initial_state(self.pool)

    def cut_after(self, state: State) -> Damage | None:
        """The damage if somebody remembers a record behind the ledger's end: the ledger's tail was cut. `state` is the
        state at the ledger's end."""
        beyond = [known for known in self._remembered if self.end is not None and known.offset >= self.end]
        if not beyond:
            return None
        known = max(beyond, key=lambda other: other.offset)
        text = f"{known.source} remembers a record at offset {known.offset}; the ledger ends at offset"
        text += f" {state.head_offset}: its tail was cut"
        return Damage(state.head_offset + 1, text, state.head_offset, state.now_ms)


def past_of_partition(
    brokers: Brokers,
    pool: str,
    partition: int,
    snapshots: PastSnapshots | None,
    remembered: Iterable[Remembered] = (),
    bounded: Callable[[LedgerFrom], LedgerFrom] = lambda ledger: ledger,
) -> LedgerPast:
    """The past of a pool up to now. Every record is read through `bounded`, which may end the reading. Without
    snapshots the ledger is read from its beginning.

    KafkaException when the broker can't be reached, the store's UNAVAILABLE when the store can't."""
    names = [] if snapshots is None else snapshots.names_of(pool)
    ledger, end = ledger_from(brokers, partition)
    return LedgerPast(
        pool,
        bounded(ledger),
        end=end,
        store=None if snapshots is None else snapshots.store,
        names=names,
        remembered=remembered,
        proved=snapshots is None or snapshots.are_proved,
    )


def following_past_of_partition(
    brokers: Brokers, pool: str, partition: int, snapshots: PastSnapshots, over: Callable[[], bool]
) -> LedgerPast:
    """The past of a pool and what is appended to it, until `over` returns True.

    KafkaException when the broker can't be reached, the store's UNAVAILABLE when the store can't."""
    names = snapshots.names_of(pool)
    _, end = ledger_from(brokers, partition)

    def until_now(first: int) -> Iterator[LedgerRecord]:
        return ledger_from(brokers, partition)[0](first)

    growing = ledger_growing(brokers, partition, over)
    return LedgerPast(pool, until_now, end=end, store=snapshots.store, names=names, growing=growing)


def past_of_file(path: Path, pool: str) -> LedgerPast:
    """The past of a pool in a file that `audit export` wrote. ExportUnreadable, also while the past is read."""
    records = ledger_of_file(path)
    return LedgerPast(pool, lambda first: (record for record in records() if record.offset >= first))
