"""Results: what is stored, what is refused, and what happens while the store is away."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from contract.codec import decode_result
from contract.inputs import Failed, Succeeded
from contract.results import EMPTY_MANIFEST, LOG_NAME
from gpu_worker.io import result_objects
from gpu_worker.io.checker_process import CheckAborted, Checkers
from gpu_worker.io.outputs import BadOutput, check_names
from gpu_worker.rules.outcome import Failure
from tests.unit.gpu_worker.memory_store import AWAY
from tests.unit.gpu_worker.results_bench import ORDER, PREFIX, Table, computed


def test_outputs_inputs_and_manifest_are_stored_and_named_by_digest(table: Table) -> None:
    (table.directory / "a.mp4").write_bytes(b"video")
    report = table.stored(computed("a.mp4", values=b'{"n":1}'))
    assert set(table.store.objects) == {PREFIX + name for name in ("a.mp4", "inputs.json", "manifest.json")}
    raw = table.store.objects[PREFIX + "manifest.json"]
    assert report == Succeeded("j", "1.1.0", "sha256:" + hashlib.sha256(raw).hexdigest())
    (file,) = decode_result(raw).files
    assert (file.sha256, file.bytes, file.media_type) == (hashlib.sha256(b"video").hexdigest(), 5, "video/mp4")
    assert table.store.objects[PREFIX + "inputs.json"] == b'{"prompt":"words"}'


def test_once_no_values_were_found_to_fit_nothing_to_store_is_told_at_once(table: Table) -> None:
    nothing = Succeeded("j", "1.1.0", EMPTY_MANIFEST)
    assert table.writer.at_once(ORDER, computed()) is None, "nothing is checked in the agent's own thread"
    assert table.stored(computed()) == nothing
    assert table.writer.at_once(ORDER, computed()) == nothing
    assert table.writer.at_once(msgspec.structs.replace(ORDER, version="v2"), computed()) is None
    for outcome in (computed("a"), computed(values=b'{"n":1}'), Failure("model_error", "E")):
        assert table.writer.at_once(ORDER, outcome) is None
    assert table.store.objects == {}


def test_empty_values_that_break_the_schema_are_not_told_as_a_success(tmp_path: Path, checkers: Checkers) -> None:
    table = Table(tmp_path, checkers, {"type": "object", "required": ["n"]})
    for _ in range(2):
        assert table.stored(computed()) == Failed("j", "1.1.0", "bad_outputs", "ValuesBreakSchema")
        assert table.writer.at_once(ORDER, computed()) is None


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

    monkeypatch.setattr(table.writer, "_store_result", broken)
    assert table.stored(computed()) == Failed("j", "1.1.0", "store", "ZeroDivisionError")


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


def test_no_output_can_take_the_place_of_what_was_printed() -> None:
    with pytest.raises(BadOutput, match="OutputNameInvalid"):
        check_names((LOG_NAME,))


def test_what_was_printed_is_stored_however_the_attempt_ended(table: Table) -> None:
    table.stored(Failure("model_error", "ValueError", "ValueError: words", prints="loading\n"))
    assert table.store.objects == {PREFIX + "error.txt": b"ValueError: words", PREFIX + LOG_NAME: b"loading\n"}
    table.store.objects.clear()
    printed = msgspec.structs.replace(computed(values=b'{"n":1}'), prints="fé\n")
    report = table.stored(printed)
    assert isinstance(report, Succeeded)
    assert table.store.objects[PREFIX + LOG_NAME] == "fé\n".encode()
    assert len(table.store.objects) == 3, "the inputs and the manifest lie beside the log"


def test_prints_alone_are_stored_though_there_is_no_result_to_store(table: Table) -> None:
    assert table.stored(computed()) == Succeeded("j", "1.1.0", EMPTY_MANIFEST)
    assert table.writer.at_once(ORDER, computed()) is not None
    printed = msgspec.structs.replace(computed(), prints="hello\n")
    assert table.writer.at_once(ORDER, printed) is None
    assert table.stored(printed) == Succeeded("j", "1.1.0", EMPTY_MANIFEST)
    assert table.store.objects == {PREFIX + LOG_NAME: b"hello\n"}


def test_a_log_that_cannot_be_stored_fails_no_attempt(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_objects, "TEXT_PATIENCE_S", 0.0)
    table.store.faults = 1
    printed = msgspec.structs.replace(computed(values=b'{"n":1}'), prints="hello\n")
    assert isinstance(table.stored(printed), Succeeded)
    assert PREFIX + LOG_NAME not in table.store.objects


def test_of_an_error_its_end_is_stored(table: Table) -> None:
    table.stored(Failure("child_died", "Exit7", "é" * 1_000_000 + "end"))
    text = table.store.objects[PREFIX + "error.txt"].decode()
    assert len(text) == result_objects.TEXT_CHARACTERS_MAX
    assert text.endswith("ééend")


def test_an_error_that_cannot_be_stored_is_reported_all_the_same(table: Table) -> None:
    table.store.faults = 10_000
    assert table.stored(Failure("time_out", "TimeOut", "text")) == Failed("j", "1.1.0", "time_out", "TimeOut")


def test_an_abandoned_result_is_removed_and_told(table: Table) -> None:
    table.store.let.clear()
    (table.directory / "a").write_bytes(b"words")
    table.begin(computed("a"))
    assert table.store.reached.wait(10)
    table.writer.abandon("1.1.0")
    table.store.let.set()
    table.told.get(timeout=10)
    assert table.store.objects == {}
