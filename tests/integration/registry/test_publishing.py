from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import msgspec
import pytest
from sqlalchemy import Connection, Engine, event, text

from contract.policy import Pool
from registry import models, pools, publishing
from registry.errors import RegistryError
from registry.manifest import VersionFile
from registry.model_directory import ModelDirectory, read_model_directory
from registry.publishing import PublishOutcome
from runtime.object_store import ObjectStore
from tests.integration.registry.conftest import POLICY
from tests.unit.registry.samples import MODEL_YAML, write_model

BYTES_MAX = 2**26
"""More than any object here has."""


class Options(TypedDict, total=False):
    why: str
    pool: str
    alias: str
    vendor_wheels: bool
    wheels_from_index: bool
    wheels_folder: Path | None
    on_uploaded: Callable[[VersionFile], None] | None


def publish(
    engine: Engine, store: ObjectStore, directory: Path, *, who: str = "ann", **options: Unpack[Options]
) -> PublishOutcome:
    options.setdefault("pool", "main")
    return publishing.publish(directory, engine=engine, store=store, who=who, **options)


@contextmanager
def asked_nothing(engine: Engine) -> Iterator[None]:
    """The database is asked nothing within the block."""
    statements: list[str] = []

    def seen(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", seen)
    yield
    event.remove(engine, "before_cursor_execute", seen)
    assert statements == []


def test_a_directory_becomes_a_version_with_all_its_bytes_in_the_store(
    engine: Engine, store: ObjectStore, directory: Path
) -> None:
    stored: list[str] = []
    published = publish(
        engine, store, directory, alias="live", why="first", on_uploaded=lambda file: stored.append(file.path)
    )
    version = published.version
    assert published.is_new
    assert published.bytes_uploaded > 0
    assert sorted(stored) == ["echo.safetensors", "model.py"]
    assert (version.pool, version.published_by, version.relayed) == ("main", "ann", False)
    assert published.move is not None
    assert (published.move.move, published.move.version, published.move.previous) == (1, version.digest, "")
    hashes = [file.sha256 for file in (*version.manifest.code, *version.manifest.weights)]
    for sha256 in [*hashes, version.digest.removeprefix("sha256:")]:
        assert hashlib.sha256(store.get("blobs/sha256/" + sha256, BYTES_MAX)).hexdigest() == sha256


def test_publishing_again_changes_nothing_and_says_so(
    engine: Engine, store: ObjectStore, directory: Path, tmp_path: Path
) -> None:
    first = publish(engine, store, directory, alias="live")
    shutil.copytree(directory, tmp_path / "copy")
    second = publish(engine, store, tmp_path / "copy", alias="live", pool="")
    assert not second.is_new
    assert second.bytes_uploaded == 0
    assert second.version == first.version
    assert second.move == first.move
    assert rows(engine, "versions") == 1
    assert rows(engine, "alias_moves") == 1
    assert rows(engine, "outbox") == 2


def test_racing_publishers_of_one_version_end_with_one_row(engine: Engine, store: ObjectStore, directory: Path) -> None:
    start = threading.Barrier(6)

    def race(_: int) -> PublishOutcome:
        start.wait(10)
        return publish(engine, store, directory, alias="live")

    with ThreadPoolExecutor(6) as threads:
        published = list(threads.map(race, range(6)))
    assert sum(each.is_new for each in published) == 1
    assert all(each.version == published[0].version for each in published)
    assert (rows(engine, "versions"), rows(engine, "alias_moves"), rows(engine, "outbox")) == (1, 1, 2)


def test_a_model_is_bound_to_its_pool_for_ever(engine: Engine, store: ObjectStore, directory: Path) -> None:
    publish(engine, store, directory)
    assert models.lookup(engine, "echo") == "main"
    with asked_nothing(engine):
        assert models.lookup(engine, "echo") == "main"
    (directory / "model.py").write_text((directory / "model.py").read_text() + "# more\n")
    with pytest.raises(RegistryError, match="'echo' is bound to pool 'main' for ever, found pool 'other'"):
        publish(engine, store, directory, pool="other")
    assert rows(engine, "versions") == 1


def test_publishers_that_race_to_bind_a_model_agree_on_one_pool(
    engine: Engine, store: ObjectStore, directory: Path
) -> None:
    start = threading.Barrier(2)

    def race(pool: str) -> str:
        start.wait(10)
        try:
            return publish(engine, store, directory, pool=pool).version.pool
        except RegistryError as error:
            return error.code

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(race, ["main", "other"]))
    assert sorted(results) == sorted(["conflict", models.lookup(engine, "echo")])


def test_a_new_model_needs_to_be_told_its_pool_when_there_are_several(
    engine: Engine, store: ObjectStore, directory: Path
) -> None:
    with pytest.raises(RegistryError, match="expected the name of its pool, one of main, other, found none"):
        publish(engine, store, directory, pool="")
    with pytest.raises(RegistryError, match="expected one of the pools main, other, found 'third'"):
        publish(engine, store, directory, pool="third")
    assert store.list("") == []


def test_a_bad_directory_leaves_no_trace(engine: Engine, store: ObjectStore, directory: Path) -> None:
    (directory / "weights" / "old.pt").write_bytes(b"x")
    with pytest.raises(RegistryError, match=r"weights/old\.pt"):
        publish(engine, store, directory)
    assert store.list("") == []
    assert rows(engine, "models") == 0


def test_a_file_that_changes_while_it_is_published_is_refused(
    engine: Engine, store: ObjectStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_then_change(path: Path) -> ModelDirectory:
        model = read_model_directory(path)
        (path / "model.py").write_text("class Echo: ...\n")
        return model

    monkeypatch.setattr(publishing, "read_model_directory", read_then_change)
    with pytest.raises(RegistryError, match="found that the file has changed"):
        publish(engine, store, directory)
    assert rows(engine, "versions") == 0


def test_a_large_file_that_changes_while_it_is_published_is_not_kept(
    engine: Engine, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_model(tmp_path / "model", values=(1.5,) * 2_500_000)
    weights = directory / "weights" / "echo.safetensors"
    put_file = ObjectStore.put_file

    def put_then_change(self: ObjectStore, key: str, path: Path, *, if_absent: bool = False) -> bool:
        with path.open("r+b") as file:
            file.seek(-4, 2)
            file.write(b"evil")
        return put_file(self, key, path, if_absent=if_absent)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "put_file", put_then_change)
        with pytest.raises(RegistryError, match="found that the file has changed"):
            publish(engine, store, directory)
    sha256 = read_model_directory(directory).manifest.weights[0].sha256
    assert publish(engine, store, directory).is_new
    assert hashlib.sha256(store.get("blobs/sha256/" + sha256, BYTES_MAX)).hexdigest() == sha256
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == sha256
    weights_in_store = [key for key in store.list("blobs/") if len(store.get(key, BYTES_MAX)) > 8_000_000]
    assert weights_in_store == ["blobs/sha256/" + sha256]


def test_what_a_reference_means(engine: Engine, store: ObjectStore, directory: Path) -> None:
    digest = publish(engine, store, directory, alias="live").version.digest
    for reference in ("echo", "echo@live", f"echo@{digest}"):
        version = models.resolve(engine, reference)
        assert version.digest == digest
        assert version.manifest.inputs["required"] == ["prompt"]
        assert not version.relayed
    for reference, code in (
        ("Echo!", "invalid"),
        ("nobody", "unknown_model"),
        ("nobody@live", "unknown_model"),
        ("echo@beta", "unknown_alias"),
        ("echo@sha256:" + "0" * 64, "unknown_version"),
    ):
        with pytest.raises(RegistryError) as caught:
            models.resolve(engine, reference)
        assert caught.value.code == code
    with pytest.raises(RegistryError, match="no model is named 'nobody'"):
        models.lookup(engine, "nobody")


def test_a_version_of_another_model_is_not_found_under_this_one(
    engine: Engine, store: ObjectStore, directory: Path, tmp_path: Path
) -> None:
    publish(engine, store, directory)
    twin = write_model(tmp_path / "twin", yaml=MODEL_YAML.replace("name: echo", "name: twin"))
    digest = publish(engine, store, twin).version.digest
    with pytest.raises(RegistryError, match="has no version") as caught:
        models.resolve(engine, f"echo@{digest}")
    assert caught.value.code == "unknown_version"
    assert [model.name for model in models.listed(engine)] == ["echo", "twin"]
    assert models.show(engine, "twin").versions == (digest,)


def test_a_pool_keeps_its_partition_for_ever(engine: Engine) -> None:
    assert pools.register(engine, POLICY) == ()
    moved = msgspec.structs.replace(POLICY, pools={"main": Pool(partition=7)})
    with pytest.raises(RegistryError, match="pool 'main': expected partition 0"):
        pools.register(engine, moved)
    taken = msgspec.structs.replace(POLICY, pools={"third": Pool(partition=1)})
    with pytest.raises(RegistryError, match="partition 1 belongs to pool 'other' for ever"):
        pools.register(engine, taken)
    assert pools.partitions(engine) == {"main": 0, "other": 1}


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM registry.{table}")).scalar_one())
