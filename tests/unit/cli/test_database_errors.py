"""Case C22: whatever Postgres answers a command, a person reads one sentence."""

from __future__ import annotations

import psycopg
import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError

from cli import keys
from cli.main import run
from cli.sentences import sentence


@pytest.mark.parametrize("kind", [psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.AdminShutdown, psycopg.Error])
def test_a_command_that_meets_one_says_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[psycopg.Error]
) -> None:
    def fail(data: object) -> None:
        raise DBAPIError("INSERT a violet walrus", {}, kind("a violet walrus"))

    monkeypatch.setattr(keys, "settings", fail)
    assert run(["keys", "create", "--tenant", "acme", "--tier", "free"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: expected Postgres to do its work, found ")
    assert printed.err.count("\n") == 1
    assert "walrus" not in printed.err


def test_no_error_of_the_driver_is_raised_again() -> None:
    kinds = [
        kind for kind in vars(psycopg.errors).values() if isinstance(kind, type) and issubclass(kind, psycopg.Error)
    ]
    assert len(kinds) > 200
    for kind in kinds:
        for error in (kind("a violet walrus"), DBAPIError("INSERT a violet walrus", {}, kind("a violet walrus"))):
            said = sentence(error)
            assert said is not None, kind
            assert "walrus" not in said[0]
