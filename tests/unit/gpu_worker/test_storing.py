"""Results: what is stored, what is refused, and what happens while the store is away."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import stamina

from contract.codec import decode_result
from contract.inputs import Failed, Report, Succeeded
from contract.orders import Run
from contract.results import EMPTY_MANIFEST
from gpu_worker import storing
from gpu_worker.outcome import Computed, Failure, Outcome
from gpu_worker.storing import Storekeeper
from gpu_worker.supplies import Supplies

ORDER = Run("n", "s", "p", 1, "j", 1, "1.1.0", "m", "v1", 1000, 0, 0, "")
PREFIX = "results/j/1.1.0/"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


class Store:
    """Objects in memory; fails as often as told, and can be made to wait."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults = 0
        self.reached = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def put(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        self.reached.set()
        assert self.let.wait(10)
        if self.faults:
            self.faults -= 1
            raise RuntimeError("away")
        self.objects[key] = data
        return True

    def put_file(self, key: str, path: Path, *, content_type: str = "") -> bool:
        return self.put(key, path.read_bytes())

    def delete_prefix(self, prefix: str) -> int:
        for key in [key for key in self.objects if key.startswith(prefix)]:
            del self.objects[key]
        return 0


class Table:
    def __init__(self, directory: Path, schema: dict[str, Any] = SCHEMA) -> None:
        self.directory = directory
        self.store = Store()
        self.told: SimpleQueue[tuple[str, Report]] = SimpleQueue()
        self.keeper = Storekeeper(self.store, lambda *told: self.told.put(told), patience_s=2.0)
        program: Any = SimpleNamespace(manifest=SimpleNamespace(outputs=schema))
        self.supplies = Supplies(msgspec.Raw(b'{"prompt":"words"}'), program)

    def begin(self, outcome: Outcome) -> None:
        self.keeper.store(ORDER, self.supplies, outcome, self.directory)

    def stored(self, outcome: Outcome) -> Report:
        self.begin(outcome)
        return self.told.get(timeout=10)[1]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retries come at once, four of them."""
    with stamina.set_testing(True, attempts=4):
        yield


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def computed(*outputs: str, values: bytes = b"{}") -> Computed:
    return Computed(msgspec.Raw(values), outputs)


def test_outputs_inputs_and_manifest_are_stored_and_named_by_digest(table: Table) -> None:
    (table.directory / "a.mp4").write_bytes(b"video")
    report = table.stored(computed("a.mp4", values=b'{"n":1}'))
    assert set(table.store.objects) == {PREFIX + name for name in ("a.mp4", "inputs.json", "manifest.json")}
    raw = table.store.objects[PREFIX + "manifest.json"]
    assert report == Succeeded("j", "1.1.0", "sha256:" + hashlib.sha256(raw).hexdigest())
    (file,) = decode_result(raw).files
    assert (file.sha256, file.bytes, file.media_type) == (hashlib.sha256(b"video").hexdigest(), 5, "video/mp4")
    assert table.store.objects[PREFIX + "inputs.json"] == b'{"prompt":"words"}'


def test_a_large_output_is_hashed_and_stored_from_its_file(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "WHOLE_BYTES_MAX", 4)
    (table.directory / "a.bin").write_bytes(b"large")
    table.stored(computed("a.bin"))
    (file,) = decode_result(table.store.objects[PREFIX + "manifest.json"]).files
    assert (file.sha256, file.bytes) == (hashlib.sha256(b"large").hexdigest(), 5)


def test_a_large_output_that_changes_while_it_is_stored_is_refused(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "WHOLE_BYTES_MAX", 4)
    path = table.directory / "a.bin"
    path.write_bytes(b"large")
    table.store.let.clear()
    table.begin(computed("a.bin"))
    assert table.store.reached.wait(10)
    path.write_bytes(b"other bytes")
    table.store.let.set()
    assert table.told.get(timeout=10)[1] == Failed("j", "1.1.0", "bad_outputs", "OutputChanged")


def test_nothing_to_store_is_told_at_once_without_the_store(table: Table) -> None:
    assert table.keeper.at_once(ORDER, table.supplies, computed()) == Succeeded("j", "1.1.0", EMPTY_MANIFEST)
    for outcome in (computed("a"), computed(values=b'{"n":1}'), Failure("model_error", "E")):
        assert table.keeper.at_once(ORDER, table.supplies, outcome) is None
    assert table.store.objects == {}


def test_empty_values_that_break_the_schema_are_not_told_as_a_success(tmp_path: Path) -> None:
    table = Table(tmp_path, {"type": "object", "required": ["n"]})
    assert table.keeper.at_once(ORDER, table.supplies, computed()) is None
    assert table.stored(computed()) == Failed("j", "1.1.0", "bad_outputs", "ValuesBreakSchema")


def test_values_that_break_the_schema_are_refused(table: Table) -> None:
    assert table.stored(computed(values=b'{"n":"one"}')) == Failed("j", "1.1.0", "bad_outputs", "ValuesBreakSchema")
    assert table.store.objects == {}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (b"[]", "values: expected a JSON object, found another value\n"),
        (b'{"n":', "expected values as JSON, found bytes that are not\n"),
        (b'{"n":"\xff"}', "expected values in UTF-8, found other bytes\n"),
        (b'{"n":"\\ud83d"}', "expected values as JSON of whole characters, found half a surrogate pair\n"),
        (b'{"n":1e999}', "expected values with finite numbers of fewer digits, found one that no number type holds\n"),
        (b"[" * 100_000, "expected values at most 64 deep, found more\n"),
    ],
)
def test_values_that_no_part_can_hold_are_refused_for_good_whatever_the_child_says(
    table: Table, values: bytes, sentence: str
) -> None:
    (table.directory / "a").write_bytes(b"film")
    assert table.stored(computed("a", values=values)) == Failed("j", "1.1.0", "bad_values", "BadValues")
    assert table.store.objects == {PREFIX + "error.txt": sentence.encode()}


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "#/nowhere"}])
def test_a_schema_that_cannot_be_applied_fails_the_attempt_and_not_the_node(tmp_path: Path, schema: Any) -> None:
    table = Table(tmp_path, schema)
    assert table.keeper.at_once(ORDER, table.supplies, computed()) is None
    assert table.stored(computed()) == Failed("j", "1.1.0", "bad_outputs", "ValuesBreakSchema")


def test_a_defect_while_storing_is_told(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(table.keeper, "_stored", broken)
    assert table.stored(computed()) == Failed("j", "1.1.0", "store", "ZeroDivisionError")


def make_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "error"), [(make_link, "OutputMissing"), (make_folder, "OutputNotAFile"), (make_pipe, "OutputNotAFile")]
)
def test_what_is_no_regular_file_is_refused(table: Table, make: Any, error: str) -> None:
    make(table.directory / "a")
    assert table.stored(computed("a")) == Failed("j", "1.1.0", "bad_outputs", error)


@pytest.mark.parametrize("name", ["../a", "/etc/hostname", "a/b", "", ".a", "manifest.json", "a" * 129, "a\n"])
def test_a_name_that_is_not_plain_is_refused(table: Table, name: str) -> None:
    assert table.stored(computed(name)) == Failed("j", "1.1.0", "bad_outputs", "OutputNameInvalid")


def test_outputs_have_limits(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "OUTPUT_BYTES_MAX", 7)
    for name in ("a", "b"):
        (table.directory / name).write_bytes(b"four")
    assert table.stored(computed("a", "b")) == Failed("j", "1.1.0", "bad_outputs", "OutputsTooLarge")
    many = tuple(f"o{number}" for number in range(101))
    assert table.stored(computed(*many)) == Failed("j", "1.1.0", "bad_outputs", "TooManyOutputs")
    assert table.stored(computed("a", "a")) == Failed("j", "1.1.0", "bad_outputs", "TooManyOutputs")


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a").write_bytes(b"secret")
    (tmp_path / "outputs").symlink_to(tmp_path / "secrets")
    table = Table(tmp_path / "outputs")
    assert table.stored(computed("a")) == Failed("j", "1.1.0", "bad_outputs", "OutputMissing")


def test_a_store_that_is_away_is_tried_again(table: Table) -> None:
    table.store.faults = 2
    assert isinstance(table.stored(computed(values=b'{"n":1}')), Succeeded)


def test_a_store_that_stays_away_fails_the_attempt(table: Table) -> None:
    table.store.faults = 10_000
    assert table.stored(computed(values=b'{"n":1}')) == Failed("j", "1.1.0", "store", "RuntimeError")


def test_the_error_of_a_failure_is_stored_and_only_its_name_reported(table: Table) -> None:
    report = table.stored(Failure("model_error", "ValueError", "ValueError: words"))
    assert report == Failed("j", "1.1.0", "model_error", "ValueError")
    assert table.store.objects == {PREFIX + "error.txt": b"ValueError: words"}


def test_an_error_that_cannot_be_stored_is_reported_all_the_same(table: Table) -> None:
    table.store.faults = 10_000
    assert table.stored(Failure("time_out", "TimeOut", "text")) == Failed("j", "1.1.0", "time_out", "TimeOut")


def test_an_abandoned_result_is_removed_and_told(table: Table) -> None:
    table.store.let.clear()
    (table.directory / "a").write_bytes(b"words")
    table.begin(computed("a"))
    assert table.store.reached.wait(10)
    table.keeper.abandon("1.1.0")
    table.store.let.set()
    table.told.get(timeout=10)
    assert table.store.objects == {}
