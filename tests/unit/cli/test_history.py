"""`jobs why` and `audit as-of` over an exported ledger, as they are typed: what is shown, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.ledger.export import export
from cli.job_why import BAR, _begun_at, bar
from cli.main import run
from tests.unit.audit.ledger import START_MS, Ledger, job_of
from tests.unit.audit.waits import full
from views.moments import when


@pytest.fixture
def ledger() -> Ledger:
    ledger = full()
    ledger.submit(5)
    ledger.decide(passed_ms=250)
    ledger.decide(passed_ms=4_750)
    return ledger


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the clock: the ledgers here are of a day that may be in the future for this machine."""
    monkeypatch.setattr("cli.audit_as_of.now_ms", lambda: START_MS + 3_600_000)


def file_of(ledger: Ledger, directory: Path) -> str:
    export(ledger.source, directory / "ledger.jsonl")
    return str(directory / "ledger.jsonl")


def test_why_says_a_sentence_and_then_the_table(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["jobs", "why", job_of(5), "--file", file_of(ledger, tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "It has waited 5.0 s (its SLO is 1 min 40 s): 95 % because slots that fit were taken since before it could be"
        " picked, 5 % because it was on its way to the scheduler."
    )
    assert lines[2].split() == ["share", "time", "because"]
    assert lines[3].startswith("95 %")
    assert lines[3].count("█") == BAR * 95 // 100


def test_why_for_programs_is_one_document(ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "why", job_of(5), "--file", file_of(ledger, tmp_path), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["wait_ms"], found["outcome"], found["damage"]) == (5_000, "waiting", None)
    assert [(cause["cause"], cause["ms"], cause["percent"]) for cause in found["causes"]] == [
        ("busy", 4_750, 95),
        ("on_the_way", 250, 5),
    ]


def test_why_of_a_damaged_ledger_shows_what_can_be_trusted_and_fails(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.edit(len(ledger.records) - 1, b"{}")
    assert run(["jobs", "why", job_of(5), "--file", file_of(ledger, tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "It has waited 250 ms" in shown.out
    assert f"damaged at offset {len(ledger.records) - 1}" in shown.err
    assert f"up to offset {len(ledger.records) - 2}" in shown.err


@pytest.mark.parametrize(
    ("job", "code", "says"),
    [
        (job_of(9), 1, "found no acceptance of it"),
        ("nonsense", 2, "expected a job id like"),
    ],
)
def test_why_of_no_job_is_one_sentence(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str], job: str, code: int, says: str
) -> None:
    assert run(["jobs", "why", job, "--file", file_of(ledger, tmp_path)]) == code
    assert says in capsys.readouterr().err


def test_why_of_a_file_that_is_not_there_or_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "why", job_of(1), "--file", str(tmp_path / "none")]) == 2
    (tmp_path / "text").write_text("hello\n")
    assert run(["jobs", "why", job_of(1), "--file", str(tmp_path / "text")]) == 2
    said = capsys.readouterr().err
    assert "found no file there" in said
    assert "text line 1: expected a line that `headrace audit export` wrote" in said


def test_as_of_shows_the_state(ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(ledger, tmp_path)
    at = when(ledger.now_ms - 1_000).replace(" UTC", "Z")
    assert run(["audit", "as-of", at, "--pool", "main", "--file", path, "-o", "json"]) == 0
    (state,) = json.loads(capsys.readouterr().out)
    assert [(tier["tier"], tier["queued"], tier["running"]) for tier in state["tiers"]] == [
        ("api", 0, 0),
        ("free", 1, 2),
    ]
    assert run(["audit", "as-of", at, "--pool", "main", "--file", path]) == 0
    shown = capsys.readouterr().out
    assert "east" in shown
    assert "film" in shown
    assert "4.0 s" in shown, "the oldest waited"


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2020-01-01T00:00:00Z", "expected a moment since the ledger of pool main began"),
        ("2999-01-01T00:00:00Z", "expected a moment that has been"),
        ("whenever", "expected a time since 1970 like"),
        ("999999999999w", "expected a time since 1970 like"),
        ("\u0663h ago", "expected a time since 1970 like"),
        ("0001-01-01", "expected a time since 1970 like"),
    ],
)
def test_as_of_no_moment_is_wrong_use(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str, says: str
) -> None:
    assert run(["audit", "as-of", at, "--pool", "main", "--file", file_of(ledger, tmp_path)]) == 2
    assert says in capsys.readouterr().err


def test_as_of_behind_damage_fails_and_says_what_can_be_trusted(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.edit(3, b"{}")
    path = file_of(ledger, tmp_path)
    at = when(ledger.now_ms).replace(" UTC", "Z")
    assert run(["audit", "as-of", at, "--pool", "main", "--file", path]) == 1
    assert "damaged at offset 3: the record can't be read" in capsys.readouterr().err
    assert run(["audit", "as-of", at, "--file", path]) == 2
    assert "--file needs --pool" in capsys.readouterr().err


def test_a_share_that_is_there_is_never_invisible() -> None:
    assert str(bar(1, 10**9)) == "▏"
    assert str(bar(5, 5)) == "█" * BAR


def test_a_wait_that_was_read_from_a_snapshot_of_anybody_says_so() -> None:
    assert _begun_at({"unproved_offset": 5}) == " from a snapshot at offset 5, whose seal the API cannot check"
    assert _begun_at({"unproved_offset": -1}) == _begun_at({}) == ""
