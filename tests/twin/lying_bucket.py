"""Whoever writes into the bucket steers nobody: cases for the object store and its twin. A test class inherits them and
says which store it has."""

from __future__ import annotations

import uuid

import pytest

from audit.ledger.snapshots import PastSnapshots
from contract.seals import SnapshotSeals
from contract.signers import INTAKE, node_signer
from contract.signing import InstallationKey
from contract.snapshot_names import key_of, names_in, prefix_of
from runtime.kafka_credentials import Brokers
from runtime.object_store import ObjectStore
from scheduling import snapshot
from scheduling.state.pool import State, initial_state
from streams.door.intake_positions import IntakePosition, IntakePositions
from streams.ledger.snapshots import newest_stored, save
from streams.metrics import SNAPSHOTS_PASSED_OVER
from tests.twin.signing import KEY

START_MS = 1_790_000_000_000
SEALS = SnapshotSeals([KEY])
OTHER_KEY = InstallationKey(b"o" * 32)
PARTITION = 900
"""Of no topic here."""


def state_at(pool: str, offset: int, now_ms: int) -> State:
    state = initial_state(pool)
    state.head_offset, state.now_ms = offset, now_ms
    return state


def passed_over(pool: str) -> float:
    return float(SNAPSHOTS_PASSED_OVER.labels(pool, "object store")._value.get())


class LyingBucket:
    """Fixture `store`: a store that works."""

    @pytest.fixture
    def pool(self) -> str:
        return f"lied-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def own(self, store: ObjectStore, pool: str) -> str:
        """The key of a snapshot that a scheduler stored, at offset 7."""
        return save(store, SEALS, pool, 7, START_MS, snapshot.encode(state_at(pool, 7, START_MS)))

    @pytest.fixture
    def altered(self, pool: str) -> bytes:
        """A later state that no scheduler folded."""
        return snapshot.encode(state_at(pool, 8, START_MS + 60_000))

    def begins_at(self, store: ObjectStore, pool: str, seals: SnapshotSeals = SEALS) -> int | None:
        found = newest_stored(store, seals, pool)
        return found.head_offset if found is not None else None

    def test_an_altered_copy_with_a_later_name_is_passed_over_and_counted(
        self, store: ObjectStore, pool: str, own: str, altered: bytes
    ) -> None:
        (name,) = names_in([own])
        later = key_of(pool, 8, START_MS + 60_000, altered)
        elsewhere = SnapshotSeals([KEY]).key_of("elsewhere", 8, START_MS + 60_000, altered)
        for key in (
            later,
            f"{later}-{len(altered)}-{name.key_id}-{name.tag}",
            SnapshotSeals([OTHER_KEY]).key_of(pool, 8, START_MS + 60_000, altered),
            elsewhere.replace("elsewhere", pool),
            own.replace(f"{7:020d}", f"{9:020d}"),
            own.replace(f"{START_MS:013d}", f"{START_MS + 1:013d}"),
        ):
            store.put(key, altered)
        assert self.begins_at(store, pool) == 7
        assert passed_over(pool) == 6

    def test_other_bytes_under_a_schedulers_name_are_passed_over_for_an_older_snapshot(
        self, store: ObjectStore, pool: str, own: str, altered: bytes
    ) -> None:
        newer = save(store, SEALS, pool, 8, START_MS + 60_000, altered)
        assert self.begins_at(store, pool) == 8
        store.put(newer, altered.replace(b"60000", b"60001"))
        assert self.begins_at(store, pool) == 7
        store.put(newer, altered + b" " * 1_000_000)
        assert self.begins_at(store, pool) == 7
        assert passed_over(pool) == 2

    def test_names_that_are_not_believed_displace_no_snapshot(
        self, store: ObjectStore, pool: str, own: str, altered: bytes
    ) -> None:
        month_ms = 40 * 86_400_000
        for number in range(4):
            store.put(key_of(pool, 100 + number, START_MS + month_ms, altered), altered)
        store.put(key_of(pool, 1, START_MS - month_ms, altered), altered)
        newer = save(store, SEALS, pool, 8, START_MS + 60_000, altered)
        assert {own, newer} < set(store.list(prefix_of(pool)))
        assert len(store.list(prefix_of(pool))) == 6, "and what is too old goes"

    def test_a_snapshot_is_believed_as_long_as_its_key_is_in_force(
        self, store: ObjectStore, pool: str, own: str
    ) -> None:
        assert self.begins_at(store, pool, SnapshotSeals([OTHER_KEY, KEY])) == 7
        assert self.begins_at(store, pool, SnapshotSeals([OTHER_KEY])) is None
        assert self.begins_at(store, pool, SnapshotSeals([])) is None, "without keys nobody can tell"

    def test_who_asks_about_the_past_begins_at_no_snapshot_of_anybody(
        self, store: ObjectStore, pool: str, own: str, altered: bytes
    ) -> None:
        later = key_of(pool, 8, START_MS + 60_000, altered)
        store.put(later, altered)
        with_the_key = PastSnapshots(store, SEALS)
        assert with_the_key.names_of(pool) == names_in([own])
        assert with_the_key.passed_over == names_in([later])
        assert PastSnapshots(store, SnapshotSeals([])).names_of(pool) == [], "without the key nobody can tell"
        assert not PastSnapshots(store, SnapshotSeals([]), unproved=True).are_proved

    def test_a_place_that_intake_did_not_write_skips_nothing(self, store: ObjectStore) -> None:
        key, forger = KEY.of(INTAKE), KEY.of(node_signer("local", "node-1"))
        positions = IntakePositions(store, Brokers("nowhere:1"), key)
        at = f"positions/intake/submissions/{PARTITION}"
        positions.write(PARTITION, IntakePosition(7, "the registry"))
        written = store.get(at, 10_000)
        assert positions.place(PARTITION) == IntakePosition(7, "the registry")
        IntakePositions(store, Brokers("nowhere:1"), forger).write(PARTITION, IntakePosition(5_000))
        by_a_node = store.get(at, 10_000)
        for lie in (
            b'{"offset":5000}',
            b'{"offset":5000,"seal":"\\u00e9"}',
            written.replace(b'"offset":7', b'"offset":5000'),
            written + b" " * 1_000_000,
            by_a_node,
        ):
            store.put(at, lie)
            assert positions.place(PARTITION).offset == 0, lie
        positions.write(PARTITION + 1, IntakePosition(5_000))
        store.put(at, store.get(f"positions/intake/submissions/{PARTITION + 1}", 10_000))
        assert positions.place(PARTITION).offset == 0, "the place in another partition"
        store.put(at, written)
        assert positions.place(PARTITION).offset == 7, "an older place of its own is only behind"
