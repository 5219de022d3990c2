"""Results: what is stored, what is refused, and what happens while the store is away."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

import msgspec
import pytest
import stamina

from contract.codec import decode_result
from contract.inputs import Failed, Report, Succeeded
from contract.orders import Run
from contract.results import EMPTY_MANIFEST
from gpu_worker.io import outputs, result_objects
from gpu_worker.io.checker_process import CheckAborted, Checkers
from gpu_worker.io.results import ResultsWriter
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed, Failure
from runtime.object_store import Source
from runtime.worker.folders import open_folder
from tests.unit.gpu_worker.memory_store import AWAY, MemoryStore
from tests.unit.gpu_worker.programs import installed

ORDER = Run("n", "s", "p", 1, "j", 1, "1.1.0", "m", "v1", 1000, 0, 0, "")
PREFIX = "results/j/1.1.0/"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


class Store(MemoryStore):
    """Fails as often as told, and can be made to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = 0
        self.fault: Exception = RuntimeError("away")
        self.puts = 0
        self.reached = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def put(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        self.puts += 1
        self.reached.set()
        assert self.let.wait(10)
        if self.faults:
            self.faults -= 1
            raise self.fault
        self.objects[key] = data
        return True

    def put_stream(self, key: str, source: Source, *, content_type: str = "") -> None:
        """Reads before it waits and after, as one that sends part by part."""
        first = source.read(3)
        self.put(key, first)
        self.objects[key] += source.read()


class Table:
    def __init__(self, directory: Path, checkers: Checkers, schema: dict[str, Any] = SCHEMA) -> None:
        self.directory = directory
        self.store = Store()
        self.told: SimpleQueue[tuple[str, Report]] = SimpleQueue()
        root = os.open(directory.parent, os.O_RDONLY)
        self.keeper = ResultsWriter(
            self.store,
            lambda _dispatch: open_folder(root, directory.name),
            checkers,
            lambda *told: self.told.put(told),
            patience_s=2.0,
        )
        self.supplies = Supplies(msgspec.Raw(b'{"prompt":"words"}'), installed(outputs=schema))

    def begin(self, outcome: ChildOutcome) -> None:
        self.keeper.store(ORDER, self.supplies, outcome)

    def stored(self, outcome: ChildOutcome) -> Report:
        self.begin(outcome)
        return self.told.get(timeout=10)[1]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retries come at once, four of them."""
    with stamina.set_testing(True, attempts=4):
        yield


@pytest.fixture(scope="module")
def checkers() -> Iterator[Checkers]:
    checkers = Checkers()
    yield checkers
    checkers.close()


@pytest.fixture
def table(tmp_path: Path, checkers: Checkers) -> Table:
    return Table(tmp_path, checkers)


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
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    (table.directory / "a.bin").write_bytes(b"large")
    table.stored(computed("a.bin"))
    (file,) = decode_result(table.store.objects[PREFIX + "manifest.json"]).files
    assert (file.sha256, file.bytes) == (hashlib.sha256(b"large").hexdigest(), 5)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, 4)


def rewrite(path: Path) -> None:
    path.write_bytes(b"other")
    os.utime(path, (1, 1))


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_large_output_that_changes_while_it_is_stored_is_refused(
    table: Table, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    path = table.directory / "a.bin"
    path.write_bytes(b"large")
    table.store.let.clear()
    table.begin(computed("a.bin"))
    assert table.store.reached.wait(10)
    change(path)
    table.store.let.set()
    assert table.told.get(timeout=10)[1] == Failed("j", "1.1.0", "bad_outputs", "OutputChanged")
    assert table.store.puts == 1, "another try would not mend it"


def test_an_output_that_is_swapped_while_it_is_stored_is_the_one_that_was_opened(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is hashed is what is stored, whatever has the name by then."""
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    path = table.directory / "a.bin"
    path.write_bytes(b"large")
    table.store.let.clear()
    table.begin(computed("a.bin"))
    assert table.store.reached.wait(10)
    path.unlink()
    path.symlink_to("/etc/hostname")
    table.store.let.set()
    assert isinstance(table.told.get(timeout=10)[1], Succeeded)
    (file,) = decode_result(table.store.objects[PREFIX + "manifest.json"]).files
    assert table.store.objects[PREFIX + "a.bin"] == b"large"
    assert file.sha256 == hashlib.sha256(b"large").hexdigest()


def test_an_upload_that_is_tried_again_begins_anew(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    (table.directory / "a.bin").write_bytes(b"large")
    table.store.faults = 2
    assert isinstance(table.stored(computed("a.bin")), Succeeded)
    (file,) = decode_result(table.store.objects[PREFIX + "manifest.json"]).files
    assert table.store.objects[PREFIX + "a.bin"] == b"large"
    assert file.sha256 == hashlib.sha256(b"large").hexdigest()


def test_an_output_is_read_no_further_than_it_was_long_and_no_more_once_nobody_wants_it(tmp_path: Path) -> None:
    def stop() -> None:
        raise result_objects.Abandoned

    (tmp_path / "a").write_bytes(b"12345678")
    folder = os.open(tmp_path, os.O_RDONLY)
    with outputs.OpenOutput(folder, "a") as output:
        grow(tmp_path / "a")
        reading = output.reading(lambda: None)
        assert [reading.read(3), reading.read(), reading.read(), reading.read(3)] == [b"123", b"45678", b"", b""]
        with pytest.raises(result_objects.Abandoned):
            output.reading(stop).read()
    os.close(folder)


def test_once_no_values_were_found_to_fit_nothing_to_store_is_told_at_once(table: Table) -> None:
    nothing = Succeeded("j", "1.1.0", EMPTY_MANIFEST)
    assert table.keeper.at_once(ORDER, computed()) is None, "nothing is checked in the agent's own thread"
    assert table.stored(computed()) == nothing
    assert table.keeper.at_once(ORDER, computed()) == nothing
    assert table.keeper.at_once(msgspec.structs.replace(ORDER, version="v2"), computed()) is None
    for outcome in (computed("a"), computed(values=b'{"n":1}'), Failure("model_error", "E")):
        assert table.keeper.at_once(ORDER, outcome) is None
    assert table.store.objects == {}


def test_empty_values_that_break_the_schema_are_not_told_as_a_success(tmp_path: Path, checkers: Checkers) -> None:
    table = Table(tmp_path, checkers, {"type": "object", "required": ["n"]})
    for _ in range(2):
        assert table.stored(computed()) == Failed("j", "1.1.0", "bad_outputs", "ValuesBreakSchema")
        assert table.keeper.at_once(ORDER, computed()) is None


class Aborting(Checkers):
    def fault(self, schema: bytes, values: bytes) -> NoReturn:
        raise CheckAborted("ValidationTimeOut", "expected an answer")


def test_values_whose_check_has_no_end_are_no_result(tmp_path: Path) -> None:
    table = Table(tmp_path, Aborting())
    assert table.stored(computed(values=b'{"n":1}')) == Failed("j", "1.1.0", "bad_outputs", "ValidationTimeOut")
    assert table.store.objects == {PREFIX + "error.txt": b"expected an answer\n"}


def test_values_that_break_the_schema_are_refused(table: Table) -> None:
    assert table.stored(computed(values=b'{"n":"one"}')) == Failed("j", "1.1.0", "bad_outputs", "ValuesBreakSchema")
    assert set(table.store.objects) == {PREFIX + "error.txt"}


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
def test_a_schema_that_cannot_be_applied_fails_the_attempt_and_not_the_node(
    tmp_path: Path, checkers: Checkers, schema: Any
) -> None:
    table = Table(tmp_path, checkers, schema)
    assert table.stored(computed()) == Failed("j", "1.1.0", "bad_outputs", "ValuesBreakSchema")


def test_a_defect_while_storing_is_told(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(table.keeper, "_store_result", broken)
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
    monkeypatch.setattr(result_objects, "OUTPUT_BYTES_MAX", 7)
    for name in ("a", "b"):
        (table.directory / name).write_bytes(b"four")
    assert table.stored(computed("a", "b")) == Failed("j", "1.1.0", "bad_outputs", "OutputsTooLarge")
    many = tuple(f"o{number}" for number in range(101))
    assert table.stored(computed(*many)) == Failed("j", "1.1.0", "bad_outputs", "TooManyOutputs")
    assert table.stored(computed("a", "a")) == Failed("j", "1.1.0", "bad_outputs", "TooManyOutputs")


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, checkers: Checkers) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a").write_bytes(b"secret")
    (tmp_path / "outputs").symlink_to(tmp_path / "secrets")
    table = Table(tmp_path / "outputs", checkers)
    assert table.stored(computed("a")) == Failed("j", "1.1.0", "bad_outputs", "OutputMissing")


@pytest.mark.parametrize("fault", AWAY, ids=lambda fault: type(fault).__name__)
def test_a_store_that_is_away_is_tried_again(table: Table, fault: Exception) -> None:
    table.store.faults, table.store.fault = 2, fault
    assert isinstance(table.stored(computed(values=b'{"n":1}')), Succeeded)


def test_a_store_that_stays_away_fails_the_attempt(table: Table) -> None:
    table.store.faults = 10_000
    assert table.stored(computed(values=b'{"n":1}')) == Failed("j", "1.1.0", "store", "RuntimeError")


def test_the_error_of_a_failure_is_stored_and_only_its_name_reported(table: Table) -> None:
    report = table.stored(Failure("model_error", "ValueError", "ValueError: words"))
    assert report == Failed("j", "1.1.0", "model_error", "ValueError")
    assert table.store.objects == {PREFIX + "error.txt": b"ValueError: words"}


def test_of_an_error_its_end_is_stored(table: Table) -> None:
    table.stored(Failure("child_died", "Exit7", "é" * 1_000_000 + "end"))
    text = table.store.objects[PREFIX + "error.txt"].decode()
    assert len(text) == result_objects.ERROR_CHARACTERS_MAX
    assert text.endswith("ééend")


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
