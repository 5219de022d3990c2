"""`headrace keys create` refuses what no job could have; `headrace --version`."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest

from cli import keys
from cli.main import run
from contract.policy import Policy, Tier
from views.queries import PolicyView


class Registry:
    """Keys that were made, and the policies in force."""

    def __init__(self) -> None:
        self.made: list[tuple[str, list[str], str]] = []
        self.tiers: dict[str, list[str]] = {"main": ["free", "api"], "other": ["gold"]}

    def policies(self, connection: Any) -> list[PolicyView]:
        return [
            PolicyView(pool, "", 0, Policy({name: Tier(1) for name in tiers}, {}, {}))
            for pool, tiers in self.tiers.items()
        ]

    def create(self, engine: Any, tenant: str, tiers: list[str], scope: str) -> str:
        self.made.append((tenant, tiers, scope))
        return "hr_secret"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(keys, "settings", lambda data: None)
    monkeypatch.setattr(keys, "connect", lambda here: SimpleNamespace(connect=lambda: nullcontext()))
    monkeypatch.setattr(keys, "queries", registry)
    monkeypatch.setattr(keys, "keys", registry)
    return registry


def created(*tiers: str) -> int:
    return run(["keys", "create", "--tenant", "acme", *(word for name in tiers for word in ("--tier", name))])


def test_a_tier_that_no_policy_has_is_refused_with_those_there_are(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert created("free", "nope") == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: --tier: expected one of api, free, gold, found 'nope'; `headrace policy show`")
    assert (registry.made, said.out) == ([], "")
    assert created("free", "gold") == 0
    assert capsys.readouterr().out == "hr_secret\n"
    assert registry.made == [("acme", ["free", "gold"], "user")]


def test_before_there_is_a_policy_a_key_is_made_with_a_warning(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.tiers = {}
    assert created("nope") == 0
    assert capsys.readouterr().err.startswith("whether there are such tiers is not known: ")
    assert registry.made


def test_the_release_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"headrace {version('headrace')}\n"
    assert run([]) == 2
    assert "error: expected a command, found none (see --help)" in capsys.readouterr().err
