"""`headrace models withdraw`: what is said where, and what is refused; `promote` of what was withdrawn."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from cli import models
from cli.main import run
from contract.inputs import WithdrawRequested
from registry import aliases, operators
from registry import models as registered
from registry.errors import RegistryError
from registry.models import RegisteredAlias
from views import queries

DIGEST = "sha256:" + "1" * 64
REFERENCE = f"film@{DIGEST}"


class Installation:
    """A model whose views follow each order at once."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, list[int]]] = []
        self.withdrawn: dict[str, bool] = {}
        self.aliases: tuple[RegisteredAlias, ...] = ()
        self.pools = ["main", "other"]

    def resolve(self, engine: object, reference: str) -> Any:
        if reference != REFERENCE:
            raise RegistryError("unknown_version", f"model 'film' has no version {reference}")
        return SimpleNamespace(model="film", digest=DIGEST, pool="other")

    def policies(self, connection: object) -> list[Any]:
        partitions = {name: SimpleNamespace(partition=place) for place, name in enumerate(self.pools)}
        return [SimpleNamespace(pool=pool, policy=SimpleNamespace(pools=partitions)) for pool in self.pools]

    def say(self, settings: object, record: Any, partitions: list[int], source: str) -> None:
        self.said.append((record, partitions))
        self.withdrawn[record.version] = record.kill


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Installation:
    installation = Installation()
    monkeypatch.setattr(models, "settings", lambda data: None)
    monkeypatch.setattr(models, "connect", lambda settings: SimpleNamespace(connect=nullcontext))
    monkeypatch.setattr(registered, "resolve", installation.resolve)
    monkeypatch.setattr(registered, "show", lambda engine, model: SimpleNamespace(aliases=installation.aliases))
    monkeypatch.setattr(queries, "policies", installation.policies)
    monkeypatch.setattr(queries, "withdrawals", lambda connection, model: installation.withdrawn)
    monkeypatch.setattr(operators, "send", installation.say)
    return installation


def test_it_is_said_once_to_the_pool_of_the_model_and_may_become_stricter(
    there: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "withdraw", REFERENCE]) == 0
    assert run(["models", "withdraw", REFERENCE]) == 0
    assert there.said == [(WithdrawRequested("film", DIGEST), [1])]
    assert "what runs may finish" in capsys.readouterr().out
    assert run(["models", "withdraw", REFERENCE, "--kill"]) == 0
    assert there.said[1:] == [(WithdrawRequested("film", DIGEST, kill=True), [1])]
    assert "what runs is stopped" in capsys.readouterr().out


def test_a_version_on_which_an_alias_is_is_refused_unless_forced(
    there: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    there.aliases = (RegisteredAlias("live", DIGEST, 1), RegisteredAlias("canary", "sha256:" + "2" * 64, 1))
    assert run(["models", "withdraw", REFERENCE]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "expected a version to which no alias points, found film@live on it" in said
    assert "promote film VERSION --alias live" in said
    assert there.said == []
    assert run(["models", "withdraw", REFERENCE, "--force"]) == 0
    assert len(there.said) == 1


@pytest.mark.parametrize("reference", ["film", "film@live", "film@sha256:1", ""])
def test_what_is_no_digest_is_wrong_use(there: Installation, reference: str) -> None:
    assert run(["models", "withdraw", reference]) == 2
    assert there.said == []


def test_a_version_that_nobody_published_and_a_pool_without_a_policy(
    there: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "withdraw", "film@sha256:" + "3" * 64]) != 0
    there.pools = ["main"]
    assert run(["models", "withdraw", REFERENCE]) == 1
    assert "expected a policy in force in pool other" in " ".join(capsys.readouterr().err.split())
    assert there.said == []


def test_an_alias_does_not_move_to_a_withdrawn_version(
    there: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(aliases, "promote", lambda *given: pytest.fail("it was refused"))
    there.withdrawn[DIGEST] = False
    assert run(["models", "promote", "film", DIGEST]) == 1
    assert "which was withdrawn; promote another" in " ".join(capsys.readouterr().err.split())
