"""What the object store and its twin must both do. A test class inherits these cases and says which store it has."""

from __future__ import annotations

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.object_store import PART_BYTES, Missing, ObjectStore, StoreAway, StoreRefuses
from runtime.object_store_health import StoreUnfit, ask, require_conditional_writes

BYTES_MAX = 2**26
"""More than any object here has."""


class Spring:
    """Gives so many bytes, each once, and hashes what it gave."""

    def __init__(self, size: int, error: Exception | None = None) -> None:
        self.left, self.error = size, error
        self.given = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        if self.error is not None and not self.left:
            raise self.error
        data = bytes(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        self.given.update(data)
        return data


class Faulty:
    """Gives the store under test a fault and makes a client of it. Fault `none`: nothing is wrong any more."""

    def __call__(self, fault: str, *, checksums: bool = True) -> ObjectStore:
        raise NotImplementedError


class ObjectStoreConformance:
    """Fixture `store`: an empty prefix of a store that works."""

    @pytest.fixture
    def prefix(self) -> str:
        return f"test/{uuid.uuid4().hex}/"

    def test_an_object_comes_back_and_goes(self, store: ObjectStore, prefix: str) -> None:
        assert store.put(prefix + "b", b"2")
        assert store.put(prefix + "a", b"1")
        assert store.get(prefix + "a", BYTES_MAX) == b"1"
        assert store.exists(prefix + "a")
        assert store.list(prefix) == [prefix + "a", prefix + "b"]
        assert store.delete_prefix(prefix) == 2
        assert store.delete_prefix(prefix) == 0
        assert store.list(prefix) == []
        assert not store.exists(prefix + "a")

    def test_objects_are_deleted_by_their_keys_and_no_others(self, store: ObjectStore, prefix: str) -> None:
        for name in ("a", "ab", "b"):
            store.put(prefix + name, b"1")
        store.delete([])
        store.delete([prefix + "a", prefix + "none"])
        assert store.list(prefix) == [prefix + "ab", prefix + "b"]

    def test_the_last_writer_of_a_key_wins(self, store: ObjectStore, prefix: str) -> None:
        assert store.put(prefix + "a", b"1")
        assert store.put(prefix + "a", b"")
        assert store.get(prefix + "a", BYTES_MAX) == b""

    def test_what_is_not_there_is_missing(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        with pytest.raises(Missing):
            store.get(prefix + "none", BYTES_MAX)
        with pytest.raises(Missing):
            store.get_file(prefix + "none", tmp_path / "none", 1)

    def test_one_of_many_writers_wins(self, store: ObjectStore, prefix: str) -> None:
        with ThreadPoolExecutor(16) as pool:
            wins = list(pool.map(lambda n: store.put(prefix + "key", b"%d" % n, if_absent=True), range(16)))
        assert wins.count(True) == 1
        assert store.get(prefix + "key", BYTES_MAX) == b"%d" % wins.index(True)

    def test_a_large_file_goes_in_parts(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        large = tmp_path / "large"
        large.write_bytes(bytes(2 * PART_BYTES) + b"end")
        assert store.put_file(prefix + "large", large, if_absent=True)
        assert not store.put_file(prefix + "large", large, if_absent=True)
        store.get_file(prefix + "large", tmp_path / "back", large.stat().st_size)
        assert (tmp_path / "back").read_bytes() == large.read_bytes()

    @pytest.mark.parametrize("size", [0, 5, PART_BYTES, 2 * PART_BYTES + 3])
    def test_a_stream_is_read_once_and_stored_as_it_was_read(
        self, store: ObjectStore, prefix: str, tmp_path: Path, size: int
    ) -> None:
        spring = Spring(size)
        store.put_stream(prefix + "stream", spring, content_type="video/mp4")
        store.get_file(prefix + "stream", tmp_path / "back", size)
        stored = (tmp_path / "back").read_bytes()
        assert (len(stored), hashlib.sha256(stored).digest()) == (size, spring.given.digest())

    @pytest.mark.parametrize("size", [5, 2 * PART_BYTES + 3])
    def test_of_a_stream_that_fails_there_is_no_object(self, store: ObjectStore, prefix: str, size: int) -> None:
        with pytest.raises(ZeroDivisionError):
            store.put_stream(prefix + "stream", Spring(size, ZeroDivisionError()))
        assert not store.exists(prefix + "stream")

    def test_parts_become_one_object_when_they_are_joined(self, store: ObjectStore, prefix: str) -> None:
        key, first = prefix + "clip", bytes(5 * 1024 * 1024)
        parts = store.begin_parts(key)
        assert store.arrived_parts(key, parts) == {}
        store.put_part(key, parts, 2, b"end")
        store.put_part(key, parts, 1, b"lost")
        store.put_part(key, parts, 1, first)
        arrived = store.arrived_parts(key, parts)
        assert {number: part.bytes for number, part in arrived.items()} == {1: len(first), 2: 3}
        assert store.begun_parts(prefix) == [(key, parts)]
        assert store.begun_parts(prefix + "other/") == []
        assert not store.exists(key)
        store.join_parts(key, parts, arrived)
        assert store.size_of(key) == len(first) + 3
        assert store.sha256_of(key, BYTES_MAX) == hashlib.sha256(first + b"end").hexdigest()
        assert store.begun_parts(prefix) == []

    def test_of_parts_that_were_aborted_nothing_stays(self, store: ObjectStore, prefix: str) -> None:
        parts = store.begin_parts(prefix + "clip")
        store.put_part(prefix + "clip", parts, 1, b"part")
        store.abort_parts(prefix + "clip", parts)
        store.abort_parts(prefix + "clip", parts)
        assert (store.begun_parts(prefix), store.list(prefix)) == ([], [])

    def test_the_size_of_what_is_not_there_is_missing(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(Missing):
            store.size_of(prefix + "none")
        with pytest.raises(Missing):
            store.sha256_of(prefix + "none", BYTES_MAX)

    def test_everything_is_never_deleted_by_an_empty_prefix(self, store: ObjectStore) -> None:
        with pytest.raises(ValueError, match="empty"):
            store.delete_prefix("")

    def test_a_store_that_works_is_healthy_and_fit(self, store: ObjectStore) -> None:
        ask(store, "conformance")
        require_conditional_writes(store)


class FaultyStoreConformance:
    """What both say when something is wrong. Fixture `faulty`."""

    @pytest.fixture
    def prefix(self) -> str:
        return f"test/{uuid.uuid4().hex}/"

    def test_a_store_that_is_not_there_is_away_whatever_is_asked(self, faulty: Faulty, prefix: str) -> None:
        store = faulty("away")
        for call in (
            lambda: store.get(prefix, BYTES_MAX),
            lambda: store.put(prefix, b""),
            lambda: store.put_stream(prefix, Spring(3)),
            lambda: store.exists(prefix),
            lambda: store.list(prefix),
            lambda: store.delete_prefix(prefix),
            lambda: store.bucket_exists(),
            lambda: ask(store, "conformance"),
        ):
            with pytest.raises(StoreAway, match="does not answer"):
                call()

    def test_a_store_that_hangs_is_away_when_the_time_is_over(self, faulty: Faulty, prefix: str) -> None:
        with pytest.raises(StoreAway, match="does not answer in time"):
            faulty("hangs").put(prefix + "a", b"1")

    def test_a_store_that_refuses_checksums_says_so_and_works_without(self, faulty: Faulty, prefix: str) -> None:
        with pytest.raises(StoreRefuses, match="answered 400 InvalidArgument to PutObject") as refused:
            faulty("checksums").put(prefix + "a", b"1")
        assert refused.value.status == 400
        plain = faulty("checksums", checksums=False)
        assert plain.put(prefix + "a", b"1")
        assert plain.get(prefix + "a", BYTES_MAX) == b"1"
        plain.put_stream(prefix + "b", Spring(3))
        assert plain.delete_prefix(prefix) == 2
        assert faulty("none").list(prefix) == []

    def test_where_batches_are_refused_objects_are_deleted_one_by_one(self, faulty: Faulty, prefix: str) -> None:
        store = faulty("batch_deletes")
        for name in "abc":
            store.put(prefix + name, b"1")
        assert store.delete_prefix(prefix) == 3
        assert faulty("none").list(prefix) == []
        assert not store.deletes_batches

    @pytest.mark.parametrize(
        ("fault", "found"),
        [("conditional_writes", "refuses them .501 NotImplemented"), ("ignores_conditions", "overwrites")],
    )
    def test_a_store_without_conditional_writes_is_unfit(self, faulty: Faulty, fault: str, found: str) -> None:
        with pytest.raises(StoreUnfit, match=f"found one that .*{found}.*HEADRACE_S3_ENDPOINT"):
            require_conditional_writes(faulty(fault))

    def test_a_store_that_is_read_only_refuses_and_keeps_what_it_has(self, faulty: Faulty, prefix: str) -> None:
        faulty("none").put(prefix + "a", b"1")
        store = faulty("read_only")
        with pytest.raises(StoreRefuses, match="answered 403 AccessDenied to PutObject"):
            store.put(prefix + "a", b"2")
        with pytest.raises(StoreRefuses, match="answered 403 AccessDenied to DeleteObject"):
            store.delete_prefix(prefix)
        assert store.get(prefix + "a", BYTES_MAX) == b"1"

    def test_a_busy_store_is_away(self, faulty: Faulty, prefix: str) -> None:
        with pytest.raises(StoreAway, match="answered 503 SlowDown to PutObject"):
            faulty("busy").put(prefix + "a", b"1")

    @pytest.mark.parametrize("fault", ["cuts", "alters"])
    def test_other_bytes_than_those_stored_are_noticed(self, faulty: Faulty, fault: str) -> None:
        with pytest.raises(StoreAway):
            ask(faulty(fault), "conformance")
