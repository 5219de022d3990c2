"""What `headrace jobs get` and `jobs logs` say of a job."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import demo, job_logs, jobs, output
from cli.main import run
from local import stack
from local.status import StackStatus
from tests.unit.cli.answers import Answers

JOB_ID = "main-" + "1" * 32
JOB = {
    "job": JOB_ID,
    "state": "queued",
    "reason": "",
    "model": "noop",
    "version": "sha256:" + "a" * 64,
    "tier": "free",
    "submitted_ms": 1_000,
    "started_ms": None,
    "ended_ms": None,
    "erasure": "",
    "start_p50_ms": 41_000,
    "start_p90_ms": 121_000,
}


@pytest.mark.parametrize(
    ("forecast", "says"),
    [
        ({}, "in about 30.0 s (9 in 10 such jobs: within 1 min 50 s)"),
        ({"start_p50_ms": 2_000}, "in about 0 ms (9 in 10 such jobs: within 1 min 50 s)"),
    ],
)
def test_a_forecast_is_said_from_now_on(
    forecast: dict[str, int], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "now_ms", lambda: 11_000)
    jobs._show({"job": {**JOB, **forecast}, "attempts": []}, None)
    assert says in capsys.readouterr().out


def test_without_a_forecast_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    jobs._show({"job": {**JOB, "start_p50_ms": None, "start_p90_ms": None}, "attempts": []}, None)
    assert "expected to start" not in capsys.readouterr().out


def test_media_and_why_they_were_refused_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    job = {**JOB, "start_p50_ms": None, "start_p90_ms": None, "media": 2, "prepared_ms": None}
    jobs._show({"job": {**job, "state": "preparing"}, "attempts": [], "refusal": ""}, None)
    said = capsys.readouterr().out
    assert "2, being prepared" in said
    assert "refused" not in said
    jobs._show({"job": {**job, "prepared_ms": 4_500}, "attempts": []}, None)
    assert "2, prepared 3.5 s after the submission" in capsys.readouterr().out
    refused = {**job, "state": "refused", "reason": "too_long"}
    jobs._show({"job": refused, "attempts": [], "refusal": "clip.mp4 lasts 61 s"}, None)
    said = capsys.readouterr().out
    assert "2, not prepared" in said
    assert re.search(r"refused +clip\.mp4 lasts 61 s", said)


URL = "http://127.0.0.1:9000/headrace/results/" + "x" * 900 + "?X-Amz-Signature=" + "a" * 64
RESULT = {
    "values": {"seed": 7, "words": "ein Hühnchen [bold]\u009b31m"},
    "files": [{"name": "clip.mp4", "bytes": 12_345, "url": URL}],
}


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 columns."""
    monkeypatch.setattr(output, "out", Console(width=40, force_terminal=True, color_system=None, highlight=False))


@pytest.mark.parametrize("terminal", [False, True])
def test_values_are_printed_and_links_can_be_copied(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if terminal:
        on_a_terminal(monkeypatch)
    jobs._show({"job": {**JOB, "state": "succeeded", "start_p50_ms": None}, "attempts": []}, RESULT)
    said = capsys.readouterr().out
    assert URL in said.splitlines()
    assert '"seed": 7,' in said
    assert "ein Hühnchen [bold]" in said


@pytest.mark.parametrize(
    ("bytes_left", "load_ms", "shown"),
    [
        (1_234_000, 3_200, "succeeded on local: its version was loaded in 3.2 s, it left 1,234 kB"),
        (0, 40, "succeeded on local: its version was loaded in 40 ms"),
        (0, 0, "succeeded on local"),
        (None, None, "succeeded on local"),
    ],
)
def test_an_attempt_that_succeeded_shows_what_it_left_and_how_long_it_loaded(
    bytes_left: int | None, load_ms: int | None, shown: str
) -> None:
    ended = {"state": "succeeded", "cluster": "local", "failure": "", "error": "", "closed": ""}
    assert jobs._attempt({**ended, "bytes": bytes_left, "load_ms": load_ms}) == shown


def test_programs_get_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"job": {**JOB, "state": "succeeded"}, "attempts": []}
    monkeypatch.setattr(jobs, "api", lambda data: Answers(lambda path: RESULT if path.endswith("result") else found))
    assert run(["jobs", "get", JOB_ID, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**found, "result": RESULT}


TEXTS = {
    f"/v1/jobs/{JOB_ID}/attempts/1/error": "Traceback…\nValueError: \x1b[2Jno\n",
    f"/v1/jobs/{JOB_ID}/attempts/1/log": "loading\n",
    f"/v1/jobs/{JOB_ID}/attempts/2/log": "loading again",
}
ATTEMPTS = [{"attempt": 1, "state": "failed", "ended_ms": 5}, {"attempt": 2, "state": "succeeded", "ended_ms": 9}]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    attempts = [*ATTEMPTS]
    answers = Answers(lambda path: {"attempts": attempts})
    answers.text = TEXTS.get  # type: ignore[attr-defined]
    monkeypatch.setattr(job_logs, "api", lambda data: answers)
    return attempts


def test_what_the_last_attempt_printed_is_shown(
    attempts: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["jobs", "logs", JOB_ID]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("loading again\n", "attempt 2, succeeded\nprinted:\n")


def test_a_traceback_is_shown_and_cannot_steer_a_terminal(
    attempts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["jobs", "logs", JOB_ID, "--attempt", "1"]) == 0
    assert (
        capsys.readouterr().out
        == TEXTS[f"/v1/jobs/{JOB_ID}/attempts/1/log"] + TEXTS[f"/v1/jobs/{JOB_ID}/attempts/1/error"]
    )
    on_a_terminal(monkeypatch)
    assert run(["jobs", "logs", JOB_ID, "--attempt", "1"]) == 0
    assert "ValueError: \\x1b[2Jno\n" in capsys.readouterr().out


def test_programs_get_both_texts(attempts: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "logs", JOB_ID, "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"job": JOB_ID, "attempt": 2, "state": "succeeded", "log": "loading again", "error": None}


@pytest.mark.parametrize(
    ("attempt", "code", "says"),
    [
        ({"attempt": 3, "state": "running", "ended_ms": None}, 0, "has not ended: what it prints can be read then"),
        ({"attempt": 3, "state": "succeeded", "ended_ms": 9}, 0, "it printed nothing"),
        ({"attempt": 3, "state": "closed", "ended_ms": 9}, 0, "it was halted, and nothing of it was kept"),
        (None, 2, "--attempt: expected 1 to 2, found 3"),
    ],
)
def test_where_there_is_nothing_to_read_it_is_said_why(
    attempts: list[dict[str, Any]],
    attempt: dict[str, Any] | None,
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    attempts += [attempt] if attempt else []
    assert run(["jobs", "logs", JOB_ID, "--attempt", "3"]) == code
    assert says in capsys.readouterr().err


def test_a_job_without_attempts_has_no_logs(attempts: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    attempts.clear()
    assert run(["jobs", "logs", JOB_ID]) == 2
    assert f"found no attempt yet; see `headrace jobs why {JOB_ID}`" in capsys.readouterr().err


def test_a_piped_demo_ends_its_table_with_a_newline(capsys: pytest.CaptureFixture[str]) -> None:
    with demo._shown([demo.DemoJob(JOB_ID, "free", "HTTP", "a red ball")]) as show:
        show()
        assert capsys.readouterr().err == ""
    lines = capsys.readouterr().err
    assert lines.endswith("\n")
    assert re.search(r"^free +HTTP +a red ball +submitted", lines, re.MULTILINE)


def test_a_piped_stack_shows_each_of_its_states_once(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/srv/" + "x" * 600
    with stack._shown(Console(highlight=False)) as show:
        for state in ("starting", "starting", "ready", "ready", "stopped"):
            show(StackStatus(state=state, data=path, pid=1))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("stack")] == ["stack starting", "stack ready", "stack stopped"]
    assert f"data  {path}" in lines
    assert Path(path).name in lines[-1]


@pytest.mark.parametrize("job", ["main-1", f"{JOB_ID}/cancel", "../keys", f"{JOB_ID}?x", "a\x01b", ""])
@pytest.mark.parametrize("verb", ["get", "watch", "cancel", "events", "logs", "why", "erase"])
def test_what_is_no_job_id_asks_for_nothing(verb: str, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", verb, job]) == 2
    assert capsys.readouterr().err.startswith("error: expected a job id like 'main-<32 hex digits>', found ")
