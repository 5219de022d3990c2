"""Results: what is stored, what is refused, and what happens while the store is away."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from contract.codec import decode_result, encode
from contract.inputs import Failed, Succeeded
from contract.results import EMPTY_MANIFEST, LOG_NAME
from gpu_worker.io import result_objects
from gpu_worker.io.checker_process import CheckAborted, Checkers
from gpu_worker.io.outputs import BadOutput, check_names
from gpu_worker.rules.outcome import Failure
from runtime.object_store import StoreRefuses
from runtime.worker.node_store import STORE_READ_TIMEOUT_S, STORE_TRIES
from runtime.worker.outages import AT_WORK, REST_MAX_S
from tests.twin.object_store import StoreFaults
from tests.unit.gpu_worker.results_bench import AWAY, ORDER, PREFIX, Table, computed
from tests.waiting import until

HOUR_S = 3600


def test_outputs_inputs_and_manifest_are_stored_and_named_by_digest(table: Table) -> None:
    (table.directory / "a.mp4").write_bytes(b"video")
    report = table.stored(computed("a.mp4", values=b'{"n":1}'))
    assert set(table.store.objects) == {PREFIX + name for name in ("a.mp4", "inputs.json", "manifest.json")}
    raw = table.store.objects[PREFIX + "manifest.json"]
    assert report == Succeeded("j", "1.1.0", "sha256:" + hashlib.sha256(raw).hexdigest(), bytes=5)
    (file,) = decode_result(raw).files
    assert (file.sha256, file.bytes, file.media_type) == (hashlib.sha256(b"video").hexdigest(), 5, "video/mp4")
    assert table.store.objects[PREFIX + "inputs.json"] == b'{"prompt":"words"}'


def test_the_report_has_the_bytes_of_all_outputs_and_the_time_of_the_load(table: Table) -> None:
    for name, data in (("a.mp4", b"video"), ("b.txt", b"text"), ("c", b"")):
        (table.directory / name).write_bytes(data)
    report = table.stored(computed("a.mp4", "b.txt", "c", load_ms=1_234))
    assert isinstance(report, Succeeded)
    assert (report.bytes, report.load_ms) == (9, 1_234)
    for _ in range(2):
        assert table.stored(computed(load_ms=7)) == Succeeded("j", "1.1.0", EMPTY_MANIFEST, load_ms=7)
    assert table.writer.at_once(ORDER, computed(load_ms=8)) == Succeeded("j", "1.1.0", EMPTY_MANIFEST, load_ms=8)


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
    table.store.errors = [fault, fault]
    assert isinstance(table.stored(computed(values=b'{"n":1}')), Succeeded)
    assert table.waits == [], "a moment is told to nobody"


@pytest.mark.parametrize(
    "faults",
    [
        StoreFaults(away=True),
        StoreFaults(hangs=True),
        StoreFaults(slow_s=61),
        StoreFaults(read_only=True),
        StoreFaults(full=True),
        StoreFaults(busy_rate=1.0),
        StoreFaults(refuses=frozenset({"checksums"})),
    ],
    ids=["away", "hangs", "slow", "read-only", "full", "busy", "refuses checksums"],
)
def test_an_hour_without_the_store_is_no_failure_and_all_is_stored_ten_seconds_after_its_end(
    table: Table, faults: StoreFaults
) -> None:
    ended_s: list[float] = []
    clock = table.store.clock

    def on_rest() -> None:
        if not ended_s and clock.now_s() >= HOUR_S:
            table.store.mend()
            ended_s.append(max(HOUR_S, clock.now_s() - table.rests_s[-1]))  # as this rest began

    table.on_rest = on_rest
    table.store.state.faults = faults
    (table.directory / "a.mp4").write_bytes(b"video")
    assert isinstance(table.stored(computed("a.mp4", values=b'{"n":1}')), Succeeded)
    assert set(table.store.objects) == {PREFIX + name for name in ("a.mp4", "inputs.json", "manifest.json")}
    assert clock.now_s() - ended_s[0] <= 10
    assert table.rests_s[:3] == [0.2, 0.4, 0.8], "the rests grow"
    assert table.waits == [("result 1.1.0", "store"), ("result 1.1.0", "")]


def test_a_store_that_takes_requests_and_says_nothing_is_told_of_within_ten_seconds(table: Table) -> None:
    """The node took jobs for a minute whose results it could not store, and nobody could see why."""
    table.on_rest = lambda: table.store.mend() if table.waits else None
    table.store.state.faults = StoreFaults(hangs=True)
    assert isinstance(table.stored(computed(values=b'{"n":1}')), Succeeded)
    assert table.waits == [("result 1.1.0", "store"), ("result 1.1.0", "")]
    assert table.waits_s[0] <= 10


def test_a_call_whose_connection_died_ends_within_ten_seconds() -> None:
    """Nobody says that it did: the call that began just before the end of an outage, and the rest after it."""
    assert STORE_READ_TIMEOUT_S * STORE_TRIES + REST_MAX_S <= 10


def test_results_that_rest_hold_up_no_result_that_the_store_takes(table: Table) -> None:
    """A store may refuse one object for good: whoever rests is none of the few that may ask at once."""
    refused = [msgspec.structs.replace(ORDER, job=f"refused-{n}", dispatch=f"2.{n}.0") for n in range(2 * AT_WORK)]
    let = threading.Event()

    def put(key: str, data: bytes, *, content_type: str = "") -> bool:
        if "refused" in key and not let.is_set():
            raise StoreRefuses("not this one")
        return True

    table.on_rest = lambda: let.wait(20)  # type: ignore[assignment]
    table.store.put = put  # type: ignore[method-assign,assignment]
    for run in refused:
        table.writer.store(run, table.supplies, computed(values=b'{"n":1}'))
    until(lambda: len(table.rests_s) == len(refused), "all that are refused rest")
    assert isinstance(table.stored(computed(values=b'{"n":1}')), Succeeded)
    let.set()
    assert {table.told.get(timeout=10)[0] for _ in refused} == {run.dispatch for run in refused}


def test_what_no_waiting_mends_fails_the_attempt(table: Table) -> None:
    table.store.errors = [ZeroDivisionError()]
    report = table.stored(computed(values=b'{"n":1}'))
    assert isinstance(report, Failed)
    assert report.kind == "store"


def test_what_is_to_be_stored_is_counted_in_bytes(table: Table) -> None:
    (table.directory / "a").write_bytes(b"12345")
    (table.directory / "b").symlink_to("/etc/passwd")
    outcome = computed("a", "none", "../a", values=b'{"n":1}')
    assert table.writer.bytes_to_store(ORDER, table.supplies, outcome) == (5, 7 + len(b'{"prompt":"words"}'))
    assert table.writer.bytes_to_store(ORDER, table.supplies, Failure("model_error", "E", "words")) == (0, 5)


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
    table.store.state.objects.clear()
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
    table.store.errors = [ConnectionError("away")]
    printed = msgspec.structs.replace(computed(values=b'{"n":1}'), prints="hello\n")
    assert isinstance(table.stored(printed), Succeeded)
    assert PREFIX + LOG_NAME not in table.store.objects


def test_of_an_error_its_end_is_stored(table: Table) -> None:
    table.stored(Failure("child_died", "Exit7", "é" * 1_000_000 + "end"))
    text = table.store.objects[PREFIX + "error.txt"].decode()
    assert len(text) == result_objects.TEXT_CHARACTERS_MAX
    assert text.endswith("ééend")


def test_an_error_that_cannot_be_stored_is_reported_all_the_same(table: Table) -> None:
    table.store.state.faults = StoreFaults(away=True)
    assert table.stored(Failure("time_out", "TimeOut", "text")) == Failed("j", "1.1.0", "time_out", "TimeOut")
    assert 20 <= table.store.clock.now_s() <= 23


def test_an_error_and_a_log_hold_up_the_report_no_longer_than_one_of_them(table: Table) -> None:
    table.store.state.faults = StoreFaults(away=True)
    failure = Failure("time_out", "TimeOut", "text", prints="hello\n")
    assert table.stored(failure) == Failed("j", "1.1.0", "time_out", "TimeOut")
    assert 20 <= table.store.clock.now_s() <= 23
    assert table.store.puts > 5
    first = table.store.puts
    table.store.clock.pass_(HOUR_S)
    table.stored(failure)
    assert table.store.puts == 2 * first, "each attempt has a patience of its own"


def test_an_abandoned_result_is_removed_and_told(table: Table) -> None:
    table.store.let.clear()
    (table.directory / "a").write_bytes(b"words")
    table.begin(computed("a"))
    assert table.store.reached.wait(10)
    table.writer.abandon("1.1.0")
    table.store.let.set()
    table.told.get(timeout=10)
    assert table.store.objects == {}


def test_nobody_who_guesses_a_result_can_confirm_it_by_the_digest_that_the_ledger_has(table: Table) -> None:
    """All else in a manifest is public, and its digest stays in the ledger after an erasure."""
    digests = set()
    for _ in range(2):
        report = table.stored(computed(values=b'{"n":1}'))
        assert isinstance(report, Succeeded)
        digests.add(report.manifest)
    manifest = decode_result(table.store.objects[PREFIX + "manifest.json"])
    guessed = encode(msgspec.structs.replace(manifest, salt=""))
    assert len(digests) == 2
    assert "sha256:" + hashlib.sha256(guessed).hexdigest() not in digests
