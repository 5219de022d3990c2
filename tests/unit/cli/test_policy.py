"""`headrace policy promote` as it is typed: the bound that is told, and what is no bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import policy
from cli.main import run
from contract.policy import fingerprint
from contract.policy_document import parse
from registry import policies
from registry.policies import TrialBound
from tests.unit.cli.answers import Answers

DOCUMENT = """\
tiers: {api: {slo: 30s}}
pools: {main: {partition: 0}}
clusters: {local: {pool: main, limit: 4}}
"""


IN_FORCE = {"policies": [{"pool": "main", "fingerprint": fingerprint(parse(DOCUMENT))}]}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[TrialBound]:
    found: list[TrialBound] = []

    def apply(settings: object, engine: object, document: object, *, bound: TrialBound) -> str:
        found.append(bound)
        return fingerprint(parse(DOCUMENT))

    monkeypatch.setattr(policy, "ADOPTED_WITHIN_S", 0.01)
    monkeypatch.setattr(policy, "elsewhere", lambda: True)
    monkeypatch.setattr(policy, "settings", lambda data: None)
    monkeypatch.setattr(policy, "connect", lambda settings: None)
    monkeypatch.setattr(policy, "api", lambda data, operator: Answers(lambda path: IN_FORCE))
    monkeypatch.setattr(policies, "apply", apply)
    return found


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(DOCUMENT)
    return str(path)


@pytest.mark.parametrize(("share", "permille"), [("95%", 950), ("99.5 %", 995), ("100%", 1000)])
def test_a_policy_goes_on_trial_with_its_bound(file: str, told: list[TrialBound], share: str, permille: int) -> None:
    assert run(["policy", "promote", file, "--revert-below", share, "--revert-jobs", "500"]) == 0
    assert told == [TrialBound(permille, 500)]


def test_an_applied_policy_stays(file: str, told: list[TrialBound]) -> None:
    assert run(["policy", "apply", file]) == 0
    assert told == [TrialBound(0, 0)]


def test_a_dangerous_bound_is_said_before_it_is_in_force(
    file: str, told: list[TrialBound], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text(DOCUMENT + "words_kept: 1s\n")
    run(["policy", "apply", file])
    assert capsys.readouterr().err.startswith("warning: words_kept: 1 s ")


def test_a_pool_that_does_not_adopt_it_is_named(
    file: str, told: list[TrialBound], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policy, "ADOPTED_WITHIN_S", 0.01)
    monkeypatch.setattr(policy, "api", lambda data, operator: Answers(lambda path: {"policies": []}))
    assert run(["policy", "apply", file]) == 1
    said = capsys.readouterr().err
    assert "no scheduler has adopted it within 0 s in main" in said
    assert "until then what is submitted there waits" in said


@pytest.mark.parametrize("share", ["95", "0%", "101%", "most"])
def test_what_is_no_share_is_said(
    file: str, told: list[TrialBound], share: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "promote", file, "--revert-below", share, "--revert-jobs", "500"]) == 2
    assert f"expected a share like 95% or 99.5%, found '{share}'" in capsys.readouterr().err
    assert told == []
