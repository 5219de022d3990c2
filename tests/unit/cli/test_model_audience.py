"""`headrace models allow` and `deny`, as they are typed."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from cli import model_audience
from cli.main import run
from registry import audiences
from registry.audiences import Audience, AudienceRule

Said = list[tuple[Any, ...]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    found: Said = []

    def change(engine: object, model: str, kind: str, name: str, *, allowed: bool, who: str, why: str) -> object:
        found.append((model, kind, name, allowed, why))
        return None if why == "again" else SimpleNamespace()

    monkeypatch.setattr(model_audience, "settings", lambda data: None)
    monkeypatch.setattr(model_audience, "connect", lambda settings: None)
    monkeypatch.setattr(audiences, "change", change)
    monkeypatch.setattr(audiences, "of", lambda engine, model: Audience())
    return found


def words(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    return " ".join((shown.out + shown.err).split())


def test_what_is_typed_is_said_of_one_of_three(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "deny", "film", "--all", "--why", "not yet"]) == 0
    assert "all of whom nothing else is said may not run film" in words(capsys)
    assert run(["models", "allow", "film", "--tenant", "acme"]) == 0
    assert "tenant acme may run film" in words(capsys)
    assert run(["models", "deny", "film", "--tier", "gold", "--why", "again"]) == 0
    assert "tier gold may not run film, as was said before" in words(capsys)
    assert said == [
        ("film", "all", "", False, "not yet"),
        ("film", "tenant", "acme", True, ""),
        ("film", "tier", "gold", False, "again"),
    ]
    assert run(["models", "deny", "film", "--tier", "gold", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "model": "film",
        "kind": "tier",
        "name": "gold",
        "allowed": False,
        "changed": True,
    }


@pytest.mark.parametrize("options", [[], ["--all", "--tenant", "a"], ["--tier", "a", "--tenant", "a"]])
def test_none_or_several_are_wrong_use(options: list[str], said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "allow", "film", *options]) == 2
    assert "expected one of --tenant NAME, --tier NAME and --all" in words(capsys)
    assert said == []


def test_letting_one_in_where_all_may_says_so(
    said: Said, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "allow", "film", "--tenant", "acme"]) == 0
    assert "so may all others" in words(capsys)
    monkeypatch.setattr(audiences, "of", lambda engine, model: Audience((AudienceRule("all", "", False),)))
    assert run(["models", "allow", "film", "--tenant", "acme"]) == 0
    assert "others" not in words(capsys)
