"""`headrace views prune`, as it is typed."""

from __future__ import annotations

from typing import Any

import pytest

from cli import views
from cli.main import run
from operations import retention
from operations.retention import KeptTooShort, Pruned
from runtime.settings import Settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how long jobs were to be kept, in ms."""
    asked: list[int] = []

    def prune(engine: Any, first_offsets: Any, kept_ms: int) -> Pruned:
        asked.append(kept_ms)
        if kept_ms < 10_000:
            raise KeptTooShort("expected more")
        return Pruned(7, 9)

    monkeypatch.setattr(views, "settings", lambda data: Settings())
    monkeypatch.setattr(retention, "first_offsets", lambda engine, kafka: {})
    monkeypatch.setattr(retention, "prune", prune)
    return asked


def test_what_was_removed_is_said(asked: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["views", "prune"]) == 0
    assert capsys.readouterr().out.split() == ["jobs", "removed", "copies", "forgotten", "7", "9"]
    assert asked == [90 * 86_400_000]


def test_too_short_a_time_is_wrong_use(asked: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["views", "prune", "--kept", "9s"]) == 2
    assert "--kept: expected more" in capsys.readouterr().err
