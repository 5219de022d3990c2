"""Case C22 at the command: while Postgres takes no writes every command that writes says so, in a sentence."""

from __future__ import annotations

from typing import Any, NoReturn

import psycopg
import pytest
from sqlalchemy.exc import InternalError

from cli import keys, models
from cli.main import run
from registry import publishing
from runtime.settings import Settings

WRITES = (
    ["keys", "create", "--tenant", "acme", "--tier", "api"],
    ["keys", "revoke", "abc"],
    ["models", "promote", "film", "sha256:" + "1" * 64],
    ["models", "rollback", "film", "--why", "slow"],
    ["models", "publish", "film"],
)


class ReadOnlyDatabase:
    """An engine of a standby, or of a server whose operator set default_transaction_read_only."""

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise InternalError("INSERT words", {"v": "words"}, psycopg.errors.ReadOnlySqlTransaction("INSERT words"))

    connect = begin = refuse


@pytest.mark.parametrize("command", WRITES, ids=" ".join)
def test_a_command_that_writes(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for noun in (keys, models):
        monkeypatch.setattr(noun, "settings", lambda data: Settings())
        monkeypatch.setattr(noun, "connect", lambda settings: ReadOnlyDatabase())
    monkeypatch.setattr(publishing, "publish", ReadOnlyDatabase().refuse)
    assert run(command) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "error: expected Postgres to do its work, found it read-only; name the primary in DATABASE_URL"
    )
    assert said.count("\n") == 1
    assert "words" not in said
