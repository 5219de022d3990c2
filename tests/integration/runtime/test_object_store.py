"""runtime.object_store against a real S3 server."""

from __future__ import annotations

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from local.services import Services
from runtime.object_store import PART_BYTES, Missing, ObjectStore


@pytest.fixture
def store(services: Services) -> ObjectStore:
    return ObjectStore(services.settings)


@pytest.fixture
def prefix() -> str:
    return f"test/{uuid.uuid4().hex}/"


def test_an_object_comes_back_and_goes(store: ObjectStore, prefix: str) -> None:
    assert store.put(prefix + "b", b"2")
    assert store.put(prefix + "a", b"1")
    assert store.get(prefix + "a") == b"1"
    assert store.exists(prefix + "a")
    assert store.list(prefix) == [prefix + "a", prefix + "b"]
    assert store.delete_prefix(prefix) == 2
    assert store.list(prefix) == []
    assert not store.exists(prefix + "a")


def test_what_is_not_there_is_missing(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    with pytest.raises(Missing):
        store.get(prefix + "none")
    with pytest.raises(Missing):
        store.get_file(prefix + "none", tmp_path / "none")


def test_one_of_many_writers_wins(store: ObjectStore, prefix: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        wins = list(pool.map(lambda n: store.put(prefix + "key", b"%d" % n, if_absent=True), range(16)))
    assert wins.count(True) == 1
    assert store.get(prefix + "key") == b"%d" % wins.index(True)


def test_a_large_file_goes_in_parts(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (3 * PART_BYTES // 256) + b"end")
    assert store.put_file(prefix + "large", large, if_absent=True)
    assert not store.put_file(prefix + "large", large, if_absent=True)
    store.get_file(prefix + "large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()


class Spring:
    """Gives so many bytes, each once, and says how many were asked for at a time."""

    def __init__(self, size: int, error: Exception | None = None) -> None:
        self.left, self.error = size, error
        self.given = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        if self.error is not None and not self.left:
            raise self.error
        data = os.urandom(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        self.given.update(data)
        return data


@pytest.mark.parametrize("size", [0, 5, PART_BYTES, 3 * PART_BYTES + 3])
def test_a_stream_is_read_once_and_stored_as_it_was_read(
    store: ObjectStore, prefix: str, tmp_path: Path, size: int
) -> None:
    spring = Spring(size)
    store.put_stream(prefix + "stream", spring, content_type="video/mp4")
    store.get_file(prefix + "stream", tmp_path / "back")
    stored = (tmp_path / "back").read_bytes()
    assert (len(stored), hashlib.sha256(stored).digest()) == (size, spring.given.digest())


@pytest.mark.parametrize("size", [5, 2 * PART_BYTES + 3])
def test_of_a_stream_that_fails_there_is_no_object(store: ObjectStore, prefix: str, size: int) -> None:
    with pytest.raises(ZeroDivisionError):
        store.put_stream(prefix + "stream", Spring(size, ZeroDivisionError()))
    assert not store.exists(prefix + "stream")


def test_a_presigned_link_needs_no_credentials_and_names_the_file(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "clip", b"bytes", content_type="video/mp4")
    answer = httpx.get(store.presign(prefix + "clip", 60, 'a "red" ball.mp4'))
    assert answer.status_code == 200
    assert answer.content == b"bytes"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == 'attachment; filename="a _red_ ball.mp4"'
    unsigned = store.presign(prefix + "clip", 60, "x").partition("?")[0]
    assert httpx.get(unsigned).status_code == 403


def test_everything_is_never_deleted_by_an_empty_prefix(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="empty"):
        store.delete_prefix("")
