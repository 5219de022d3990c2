"""An export gives back exactly the bytes that were read."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.ledger.export import export
from audit.ledger.reader import ExportUnreadable, JobUnknown, LedgerRecord, ledger_of_file, line_of
from audit.story import render, story
from audit.verify.verification import verify
from cli.main import run
from contract import inputs
from tests.unit.audit.ledger import POOL, SECRET, Ledger, job_of, lived_in
from views.moments import when


def test_an_export_has_the_same_bytes_and_verifies(tmp_path: Path) -> None:
    ledger = lived_in()
    path = tmp_path / "ledger.jsonl"
    assert export(ledger.source, path) == len(ledger.records)
    assert list(ledger_of_file(path)()) == ledger.records
    assert verify(ledger_of_file(path), POOL).clean
    assert SECRET.encode() not in path.read_bytes()


@pytest.mark.parametrize("value", [b'{"a": 1}', b' {"a":1}', b'{"a":\n1}', b"\xff\x00", b"", b'"text"'])
def test_whatever_lies_in_a_ledger_comes_back(tmp_path: Path, value: bytes) -> None:
    record = LedgerRecord(3, 99, value)
    path = tmp_path / "one.jsonl"
    path.write_bytes(line_of(record))
    assert list(ledger_of_file(path)()) == [record]


def test_a_failed_export_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text("before")

    def broken():  # type: ignore[no-untyped-def]
        yield LedgerRecord(0, 0, b"{}")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        export(broken, path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"nonsense\n" + line_of(LedgerRecord(0, 0, b"{}")))
    with pytest.raises(ExportUnreadable, match="line 1: expected a line that"):
        list(ledger_of_file(path)())


def test_a_missing_or_empty_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExportUnreadable, match="expected an exported ledger"):
        ledger_of_file(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ExportUnreadable, match="found an empty file"):
        ledger_of_file(tmp_path / "empty.jsonl")


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_file_cut_in_a_line_is_a_ledger_damaged_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Whatever is left of the last line, every command says up to where the ledger can be trusted."""
    ledger = lived_in()
    path = tmp_path / "cut.jsonl"
    export(ledger.source, path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:-1], lines[-1][:kept]]))
    last = len(lines) - 1
    verdict = verify(ledger_of_file(path), POOL)
    assert (verdict.findings[0].offset, verdict.trusted_offset) == (last, last - 1)
    assert "the record can't be read, so it was edited or cut" in verdict.findings[0].text
    monkeypatch.setattr("cli.audit_as_of.now_ms", lambda: ledger.now_ms)
    for verb in ("slo", "forecasts", "as-of"):
        typed = [when(ledger.now_ms).replace(" UTC", "Z")] if verb == "as-of" else []
        assert run(["audit", verb, *typed, "--file", str(path), "--pool", POOL]) == 1
        assert f"damaged at offset {last}: " in (shown := capsys.readouterr().err)
        assert f"up to offset {last - 1}" in shown


@pytest.mark.parametrize("verb", ["verify", "slo", "forecasts", "as-of", "what-if"])
def test_a_file_that_is_no_export_is_wrong_use_of_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (tmp_path / "text").write_text("hello\n")
    typed = {"as-of": ["now"], "what-if": ["--limit", "east=1"]}.get(verb, [])
    for name, says in (("none", "found no file there"), ("text", "text line 1: expected a line that")):
        assert run(["audit", verb, *typed, "--file", str(tmp_path / name), "--pool", "main"]) == 2
        assert says in capsys.readouterr().err


# -- stories -------------------------------------------------------------------------------------------------


def test_a_story_says_why_each_attempt_ended() -> None:
    ledger = lived_in()
    told = render(story(job_of(2), ledger.source))
    for sentence in (
        "accepted in tier free",
        "attempt 1 goes to cluster east",
        "the attempt failed: model_error (ValueError)",
        "its node was not heard for a whole lease; it counts as a failure",
        "lost in this batch: n1",
        "attempt 3 goes to cluster east",
        "It has not ended",
    ):
        assert sentence in told, told
    assert SECRET not in told


def test_a_story_has_offsets_and_times_that_prove_it() -> None:
    ledger = lived_in()
    for chapter in story(job_of(1), ledger.source).chapters:
        batch = ledger.batch(chapter.offset)
        assert batch.now_ms == chapter.at_ms
        assert chapter.event in {type(event).__name__ for event in batch.events}
    assert "succeeded after 300 ms: queued 100 ms, running 100 ms, 1 attempt" in story(job_of(1), ledger.source).summary


def test_the_story_of_a_job_submitted_twice_tells_both_copies() -> None:
    told = render(story(job_of(1), lived_in().source))
    assert "submitted again; the first submission stands (`jobs` offset 6)" in told


def test_the_story_of_a_job_erased_before_it_was_accepted() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.EraseRequested(job_of(7)))
    ledger.decide(inputs.ErasureCompleted(job_of(7), (), ledger.now_ms))
    before = story(job_of(7), ledger.source)
    assert [chapter.event for chapter in before.chapters] == ["ErasureOrdered", "JobErased"]
    assert before.summary == "It was never accepted."
    ledger.submit(7)
    ledger.decide()
    assert "It has not ended" in story(job_of(7), ledger.source).summary


def test_the_story_of_a_job_nobody_knows() -> None:
    with pytest.raises(JobUnknown, match="no event that names it"):
        story(job_of(99), lived_in().source)
    with pytest.raises(ValueError, match="expected a job id"):
        story("nonsense", lived_in().source)
