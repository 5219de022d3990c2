"""The state of a pool at every record of its ledger: folded by the production code, from a snapshot where there is one.

Theory of operation. A `Walk` gives each record that counts, in order, *before* it is folded: `state` is then what held
from the record before until this one, and the batch says when that ended and what came. It begins at a stored snapshot
(its own last record is read again and must have the hash that the snapshot names) or at the ledger's beginning.

Where the ledger can no longer be believed the walk ends, and `damage` says which record is bad and up to which one the
ledger can still be trusted; what was folded up to there stands. A reader that began at a snapshot does not know every
earlier record, so it cannot tell the record of a scheduler that had been overtaken from one after an edited record:
when it meets one that may be the latter it raises `Unsure`, and `walked` reads the ledger from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from audit.ledger.damage import diagnose
from audit.ledger.outages import opens
from audit.ledger.reader import LedgerRecord, ledger_from, ledger_growing, ledger_of_file
from contract.batch import Batch, hash_of
from contract.chain import Chain, Counted, Damaged
from contract.codec import decode_batch
from contract.snapshot_names import SnapshotName, nearest_before
from runtime.object_store import ObjectStore
from runtime.snapshots import first_usable, names_of
from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state
from views.moments import when

LedgerFrom = Callable[[int], Iterator[LedgerRecord]]
"""The records of a ledger from this offset on, in the log's order. Every call reads the same records again."""

T = TypeVar("T")


class Damage(msgspec.Struct, frozen=True):
    """Why the ledger can't be believed any further."""

    offset: int
    """Of the bad record, or of the first that is missing."""
    text: str
    """What was expected and what was found."""
    trusted_offset: int
    """The records up to this one can be trusted; -1: none."""
    trusted_ms: int
    """The pool's clock at that record."""


def said_of(damage: Damage) -> str:
    """Which record is bad and what is still to be trusted, as a sentence."""
    trusted = (
        f"it can be trusted up to offset {damage.trusted_offset} ({when(damage.trusted_ms)}) and no further"
        if damage.trusted_offset >= 0
        else "no record of it can be trusted"
    )
    found = f"the ledger is damaged at offset {damage.offset}: {damage.text}"
    return f"{found}; {trusted}; `headrace audit verify` says more"


class NotBelieved(Exception):
    """What was asked lies where the ledger can't be believed."""

    def __init__(self, damage: Damage) -> None:
        instead = "; ask for what was until then" if damage.trusted_offset >= 0 else ""
        super().__init__(said_of(damage) + instead)
        self.damage = damage


class Unsure(Exception):
    """From where the walk began it can't be told whether the ledger is damaged."""


class Remembered(NamedTuple):
    """A record that someone outside the ledger knows."""

    source: str
    """For people: `snapshot snapshots/main/…`, `the views`."""
    offset: int


class Past:
    """Where the past of one pool is read from."""

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
    ) -> None:
        """`end` is the offset after the ledger's last record, None when nobody can say. `names`, of snapshots in the
        store, oldest first, and `remembered` were asked for before it, so whatever they name must be there. `growing`
        gives the same records as `ledger` and does not end where the ledger does now: what a walk reads, if given."""
        self.pool, self.end = pool, end
        self.ledger: Final = ledger
        self.growing: Final = growing or ledger
        self._store = store
        self._names = list(names)
        newest = [Remembered(f"snapshot {name.key}", name.offset) for name in self._names[-1:]]
        self._remembered = [*remembered, *newest]

    def state_before(self, at_ms: int) -> State:
        """The newest stored state that is no later than this moment and can be read, else the initial one."""
        within = [name for name in self._names if self.end is None or name.offset < self.end]
        if self._store is not None:
            found = first_usable(self._store, nearest_before(within, at_ms), snapshot.decode)
            if found is not None:
                return found.state
        return initial_state(self.pool)

    def cut_after(self, state: State) -> Damage | None:
        """Says so when someone remembers a record behind the ledger's end, whose state this is: its tail was cut."""
        beyond = [known for known in self._remembered if self.end is not None and known.offset >= self.end]
        if not beyond:
            return None
        known = max(beyond, key=lambda other: other.offset)
        text = f"{known.source} remembers a record at offset {known.offset}; the ledger ends at offset"
        text += f" {state.head_offset}: its tail was cut"
        return Damage(state.head_offset + 1, text, state.head_offset, state.now_ms)


class Walk:
    """One reading of a ledger. Iterate it once; `state` and `damage` can be asked at any time."""

    def __init__(self, past: Past, state: State) -> None:
        """Goes on from `state`, which it folds further: a snapshot's, or the initial one."""
        self.state = state
        self.damage: Damage | None = None
        self.records = 0
        """Read so far."""
        self.began_offset = state.head_offset
        """Of the last record in the state it began with; -1: at the ledger's beginning."""
        self.began_opened = False
        """That record was an Opened. Known once the first record after it is asked for."""
        self._past = past
        self._began_seq = state.seq
        self._began_hash = state.head_hash

    @property
    def whole(self) -> bool:
        """It began at the ledger's beginning."""
        return self.began_offset < 0

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        """(offset, batch) of each record that counts, before it is folded. Unsure."""
        chain = self._chain()
        last = self.began_offset
        held: tuple[int, Counted] | None = None
        for record in self._past.growing(max(0, self.began_offset)):
            self.records += 1
            if record.offset == self.began_offset:
                if hash_of(record.value) != self._began_hash:
                    raise Unsure
                self.began_opened = opens(decode_batch(record.value))
                continue
            if record.offset != last + 1:
                if held is not None:
                    yield from self._fold(held)
                self._stop(last + 1, f"expected offset {last + 1} next, found {record.offset}")
                return
            last = record.offset
            try:
                judged = chain.offer(record.offset, record.value)
            except Damaged as damaged:
                found = diagnose(partial(self._past.ledger, record.offset), record, chain, damaged)
                if held is not None and not found.head_is_suspect:
                    yield from self._fold(held)
                self._stop(record.offset, found.text)
                return
            if isinstance(judged, Counted):
                if held is not None:
                    yield from self._fold(held)
                now_ms = judged.batch.now_ms
                if now_ms < self.state.now_ms:
                    self._stop(record.offset, f"expected a time of at least {self.state.now_ms} ms, found {now_ms} ms")
                    return
                held = (record.offset, judged)
            elif judged.is_orphan and decode_batch(record.value).seq > self._began_seq:
                raise Unsure
            if self.damage is not None:
                return
        if held is not None:
            yield from self._fold(held)
        if self.damage is None:
            self.damage = self._past.cut_after(self.state)

    def believed(self) -> Iterator[Batch]:
        """Each record that counts once it has been folded: none is among them that can't have been. Unsure."""
        before: tuple[int, Batch] | None = None
        for at in self:
            if before is not None:
                yield before[1]
            before = at
        if before is not None and self.state.head_offset == before[0]:
            yield before[1]

    def _fold(self, held: tuple[int, Counted]) -> Iterator[tuple[int, Batch]]:
        """A record is held back until the next one vouches for it, or the ledger ends."""
        offset, judged = held
        before_ms = self.state.now_ms
        yield offset, judged.batch
        try:
            fold(self.state, judged.batch, judged.hash, offset)
        except Exception as broken:  # an edited ledger, or a defect: whatever it is, the reading ends there
            text = f"the state can't be folded over it: {type(broken).__name__}: {broken}"
            self.damage = Damage(offset, text, self.state.head_offset, before_ms)

    def _chain(self) -> Chain:
        state = self.state
        if self.whole:
            return Chain(state.pool)
        return Chain.at(state.pool, state.head_hash, state.seq, state.epoch, state.head_offset)

    def _stop(self, offset: int, text: str) -> None:
        if self.damage is None:  # the first stays
            self.damage = Damage(offset, text, self.state.head_offset, self.state.now_ms)


def walked(past: Past, at_ms: int, follow: Callable[[Walk], T]) -> T:
    """What `follow` makes of a walk that begins at the nearest snapshot before `at_ms`, or at the ledger's beginning
    when from there it can't be told whether the ledger is whole."""
    walk = Walk(past, past.state_before(at_ms))
    if not walk.whole:
        try:
            return follow(walk)
        except Unsure:
            pass
    return follow(Walk(past, initial_state(past.pool)))


def past_of_partition(
    bootstrap: str,
    pool: str,
    partition: int,
    store: ObjectStore,
    remembered: Iterable[Remembered] = (),
    bounded: Callable[[LedgerFrom], LedgerFrom] = lambda ledger: ledger,
) -> Past:
    """The past of a pool as it is kept now; every record of it is read through `bounded`. KafkaException, or the
    store's UNAVAILABLE, when one can't be reached."""
    names = names_of(store, pool)
    ledger, end = ledger_from(bootstrap, partition)
    return Past(pool, bounded(ledger), end=end, store=store, names=names, remembered=remembered)


def following_past_of_partition(
    bootstrap: str, pool: str, partition: int, store: ObjectStore, over: Callable[[], bool]
) -> Past:
    """The past of a pool and what becomes of it, until `over` says so. KafkaException, or the store's UNAVAILABLE."""
    names = names_of(store, pool)
    _, end = ledger_from(bootstrap, partition)

    def until_now(first: int) -> Iterator[LedgerRecord]:
        return ledger_from(bootstrap, partition)[0](first)

    growing = ledger_growing(bootstrap, partition, over)
    return Past(pool, until_now, end=end, store=store, names=names, growing=growing)


def past_of_file(path: Path, pool: str) -> Past:
    """The past of a pool in a file that `audit export` wrote. ExportUnreadable, also while it is read."""
    records = ledger_of_file(path)
    return Past(pool, lambda first: (record for record in records() if record.offset >= first))
