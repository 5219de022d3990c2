"""`headrace database …` and `headrace models owner`, as they are typed."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import errors

from cli import database, model_owners
from cli.main import run
from registry import owners
from registry.owners import OwnerChange
from runtime import database_logins
from runtime.database_logins import RightHeld
from runtime.database_rights import RIGHTS
from runtime.settings import Settings

URL = "postgresql://owner:drawn@db.example:5433/headrace"


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The logins that were made."""
    made: list[tuple[Any, ...]] = []
    monkeypatch.setenv("HEADRACE_KAFKA", "k:1")
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setattr(database, "settings", lambda data: Settings())
    monkeypatch.setattr(database, "_connected", lambda here: nullcontext(None))
    monkeypatch.setattr(database_logins, "make_login", lambda connection, *given: made.append(given))
    return made


@pytest.mark.parametrize("role", RIGHTS)
def test_the_sql_of_a_role_is_printed(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["database", "grants", role]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f'CREATE ROLE "headrace_{role}" NOLOGIN;' in lines
    granted = [line for line in lines if re.match("GRANT (?!USAGE|EXECUTE)", line)]
    assert len(granted) == len(RIGHTS[role])
    assert all(line.endswith((";", ":")) for line in lines)


def test_a_role_that_asks_no_database_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["grants", "node"], ["rights", "node"], ["login", "ann", "--role", "node"]):
        assert run(["database", *command]) == 2
        assert "expected one of intake, projector, relay, api, author, operator, found 'node'" in " ".join(
            capsys.readouterr().err.split()
        )


def test_a_login_is_made_and_its_address_printed_once(
    server: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["database", "login", "ann", "--role", "author"]) == 0
    ((login, role, password),) = server
    assert (login, role) == ("ann", "author")
    shown = capsys.readouterr()
    assert shown.out == f"DATABASE_URL=postgresql://ann:{password}@db.example:5433/headrace\n"
    assert "not shown again" in shown.err
    assert run(["database", "login", "ann", "--role", "author", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["url"] != shown.out, "another password each time"


@pytest.mark.parametrize("name", ["", "x" * 64, " ann", "a\nn", "Ann", "a:b@c"])
def test_a_name_that_no_login_can_have_is_refused(name: str, server: list[Any]) -> None:
    assert run(["database", "login", name, "--role", "author"]) == 2
    assert server == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.ReservedName, "expected a name that Postgres does not keep for itself"),
        (errors.UndefinedObject, "expected the role headrace_author in Postgres, found none"),
        (errors.InsufficientPrivilege, "expected the owner of the tables, or a login that may make roles"),
    ],
)
def test_what_postgres_refuses_is_said_in_a_sentence(
    error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(database_logins, "make_login", fail)
    assert run(["database", "login", "pg_x", "--role", "author"]) != 0
    assert says in " ".join(capsys.readouterr().err.split())


def test_rights_that_differ_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    held = [RightHeld("registry.keys", "SELECT", False, True), RightHeld("views.jobs", "SELECT", True, True)]
    monkeypatch.setattr(database_logins, "rights_held", lambda connection, role: held)
    assert run(["database", "rights", "author"]) == 1
    shown = capsys.readouterr().out
    assert "registry.keys" in shown
    assert "views.jobs" not in shown
    monkeypatch.setattr(database_logins, "rights_held", lambda connection, role: held[1:])
    assert run(["database", "rights", "author"]) == 0
    assert "nothing else" in capsys.readouterr().err


def test_an_owner_is_shown_and_changed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[tuple[Any, ...]] = []
    change = OwnerChange("film", 1, "", "olga", "she left", 0)
    monkeypatch.setattr(model_owners, "settings", lambda data: None)
    monkeypatch.setattr(model_owners, "connect", lambda settings: SimpleNamespace())
    monkeypatch.setattr(owners, "history", lambda engine, model: (change,))
    monkeypatch.setattr(owners, "give", lambda engine, *said: given.append(said))
    assert run(["models", "owner", "film"]) == 0
    assert "operators" in capsys.readouterr().out
    assert run(["models", "owner", "film", "ann", "--why", "hers"]) == 0
    assert "belonged to ann before" in capsys.readouterr().out
    assert run(["models", "owner", "film", "operators"]) == 0
    assert [(model, owner, why) for model, owner, _, why in given] == [("film", "ann", "hers"), ("film", "", "")]
