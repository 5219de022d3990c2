"""`headrace models withdraw`: what is said where, what is refused, and what is told; how `list` and `show` show it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from cli import models, withdrawals
from cli.main import run
from contract.inputs import WithdrawRequested
from registry import aliases, audiences, operators, owners
from registry import models as registered
from registry.aliases import AliasMove
from registry.errors import RegistryError
from registry.models import RegisteredAlias, RegisteredModel
from tests.unit.api.versions import version
from views import queries, withdrawn
from views.withdrawn import WithdrawnVersion

DIGEST = "sha256:" + "1" * 64
REFERENCE = f"film@{DIGEST}"


class Installation:
    """A model whose views follow each order at once."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, list[int]]] = []
        self.withdrawn: dict[str, bool] = {}
        self.waiting = 0
        self.aliases: tuple[RegisteredAlias, ...] = ()
        self.pools = ["main", "other"]

    def resolve(self, engine: object, reference: str) -> Any:
        if reference != REFERENCE:
            raise RegistryError("unknown_version", f"model 'film' has no version {reference}")
        return SimpleNamespace(model="film", digest=DIGEST, pool="other")

    def policies(self, connection: object) -> list[Any]:
        partitions = {name: SimpleNamespace(partition=place) for place, name in enumerate(self.pools)}
        return [SimpleNamespace(pool=pool, policy=SimpleNamespace(pools=partitions)) for pool in self.pools]

    def is_withdrawn(self, connection: object, version: str, *, kill: bool) -> bool:
        return self.withdrawn.get(version, -1) >= kill

    def versions(self, connection: object, model: str = "") -> dict[str, WithdrawnVersion]:
        return {
            version: WithdrawnVersion("film", version, kill, self.waiting) for version, kill in self.withdrawn.items()
        }

    def waiting_jobs(self, connection: object, versions: list[str]) -> dict[str, int]:
        return dict.fromkeys(versions, self.waiting) if self.waiting else {}

    def say(self, settings: object, record: Any, partitions: list[int], source: str) -> None:
        self.said.append((record, partitions))
        self.withdrawn[record.version] = record.kill


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Installation:
    installation = Installation()
    for module in (models, withdrawals):
        monkeypatch.setattr(module, "settings", lambda data: None)
        monkeypatch.setattr(module, "connect", lambda settings: SimpleNamespace(connect=nullcontext))
    monkeypatch.setattr(registered, "resolve", installation.resolve)
    monkeypatch.setattr(registered, "show", lambda engine, model: SimpleNamespace(aliases=installation.aliases))
    monkeypatch.setattr(owners, "require", lambda connection, model: None)
    monkeypatch.setattr(owners, "owner_of", lambda connection, model: "ann")
    monkeypatch.setattr(audiences, "may_read", lambda connection: False)
    monkeypatch.setattr(queries, "policies", installation.policies)
    monkeypatch.setattr(withdrawn, "versions", installation.versions)
    monkeypatch.setattr(withdrawn, "is_withdrawn", installation.is_withdrawn)
    monkeypatch.setattr(withdrawn, "waiting_jobs", installation.waiting_jobs)
    monkeypatch.setattr(operators, "send", installation.say)
    return installation


def said_by(capsys: pytest.CaptureFixture[str]) -> str:
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


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


def test_what_becomes_of_jobs_that_wait_is_told(there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    there.waiting = 3
    assert run(["models", "withdraw", REFERENCE]) == 0
    assert (
        "jobs that waited for it: 3; those that named an alias take what their alias has now, those that named the"
        " digest end"
    ) in said_by(capsys)
    there.withdrawn.clear()
    there.aliases = (RegisteredAlias("live", DIGEST, 1),)
    assert run(["models", "withdraw", REFERENCE]) == 1
    assert "those that wait (3 now) would go on waiting" in said_by(capsys)
    assert run(["models", "withdraw", REFERENCE, "--force"]) == 0
    said = said_by(capsys)
    assert "those that named an alias wait on until film@live moves" in said
    assert "new jobs of film@live are refused until `headrace models promote film VERSION --alias live`" in said
    there.waiting = 0
    assert run(["models", "withdraw", REFERENCE, "--force"]) == 0
    assert "jobs that waited" not in said_by(capsys)


@pytest.mark.parametrize(("waiting", "said"), [(0, "(withdrawn)"), (12, "(withdrawn, waiting: 12)")])
def test_list_and_show_say_it(
    there: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], waiting: int, said: str
) -> None:
    there.waiting = waiting
    there.withdrawn[DIGEST] = False
    other = "sha256:" + "2" * 64
    there.aliases = (RegisteredAlias("live", DIGEST, 1), RegisteredAlias("next", other, 1))
    film = RegisteredModel("film", "main", there.aliases, (DIGEST, other))
    monkeypatch.setattr(registered, "listed", lambda engine: (film,))
    monkeypatch.setattr(registered, "versions", lambda engine, model: [version({}, DIGEST), version({}, other)])
    moves = [AliasMove("film", "live", 1, DIGEST, "", False, "ann", "", 0)]
    monkeypatch.setattr(aliases, "history", lambda engine, model, alias: moves)
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["models", "list"]) == 0
    assert f"live → {DIGEST[7:19]} {said}, next → {other[7:19]}" in said_by(capsys)
    assert run(["models", "show", "film"]) == 0
    shown = said_by(capsys)
    assert shown.count(f"← live {said}") == 1
    assert "film belongs to ann" in shown
    for command in (["list"], ["show", "film"]):
        assert run(["models", *command, "--format", "json"]) == 0
        assert f'"waiting": {waiting}' in said_by(capsys)
