"""What `headrace jobs get` says of a job that waits."""

from __future__ import annotations

import pytest

from cli import jobs

JOB = {
    "job": "main-1",
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
