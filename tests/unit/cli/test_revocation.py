"""`headrace policy revoke` and `unrevoke`: the policy in force, with another list of revoked signers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cli import policy, revocation
from cli.main import run
from contract.policy import Policy, fingerprint
from contract.policy_document import parse
from registry import policies
from tests.unit.cli.answers import Answers

BASE = parse(
    "tiers: {api: {slo: 30s}}\npools: {main: {partition: 0}, other: {partition: 1}}\n"
    "clusters: {local: {pool: main, limit: none}}\nrevoked: [operator.eve]\njoin_tokens: true\n"
)


class Installation:
    """Adopts what is applied, in both pools."""

    def __init__(self) -> None:
        self.in_force: list[Policy] = [BASE, BASE]
        self.applied: list[Policy] = []

    def get(self, path: str) -> Any:
        shown = zip(("main", "other"), self.in_force, strict=True)
        return {
            "policies": [
                {"pool": pool, "fingerprint": fingerprint(its), "policy": msgspec.to_builtins(its)}
                for pool, its in shown
            ]
        }

    def apply(self, settings: object, engine: object, document: Policy, *, bound: object) -> str:
        assert bound == policies.NO_TRIAL
        self.applied.append(document)
        self.in_force = [document, document]
        return fingerprint(document)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Installation:
    installation = Installation()
    for module in (policy, revocation):
        monkeypatch.setattr(module, "api", lambda data, operator: Answers(installation.get))
    monkeypatch.setattr(policy, "elsewhere", lambda: True)
    monkeypatch.setattr(policy, "settings", lambda data: SimpleNamespace(signer="operator.ada"))
    monkeypatch.setattr(policy, "connect", lambda settings: None)
    monkeypatch.setattr(policies, "apply", installation.apply)
    return installation


def test_a_signer_is_revoked_and_nothing_else_changes(there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "revoke", "node.local/gpu-7"]) == 0
    both = ("node.local/gpu-7", "operator.eve")
    assert there.applied == [msgspec.structs.replace(BASE, revoked=both)]
    said = capsys.readouterr()
    assert "in force in main, other" in said.out
    assert "put it into `revoked` of your policy document, too" in said.err
    assert run(["policy", "unrevoke", "operator.eve"]) == 0
    assert there.applied[1:] == [msgspec.structs.replace(BASE, revoked=("node.local/gpu-7",))]


def test_who_lost_a_key_may_revoke_it_by_itself(there: Installation) -> None:
    assert run(["policy", "revoke", "operator.ada", "--force"]) == 0
    assert there.in_force[0].revoked == ("operator.ada", "operator.eve")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "api"], "the key of another signer is replaced with the installation's"),
        (["revoke", "node.local"], "expected an operator or a node, like operator.NAME or node.CLUSTER/NAME"),
        (["revoke", "operator.eve"], "expected a signer that is not revoked, found operator.eve"),
        (["revoke", "operator.ada"], "expected another signer than your own, found operator.ada"),
        (["unrevoke", "operator.bob"], "expected a signer that the policy in force revokes (operator.eve)"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_applied(
    there: Installation, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(["policy", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert there.applied == []


def test_several_policies_in_force_are_not_made_one(there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    there.in_force[1] = msgspec.structs.replace(BASE, failures_max=9)
    assert run(["policy", "revoke", "operator.bob"]) == 1
    assert "expected one policy in force in all pools, found 2" in capsys.readouterr().err
    assert there.applied == []
