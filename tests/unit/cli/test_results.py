"""`headrace results sweep`, as it is typed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from audit.ledger.reader import LedgerRecord
from cli import results
from cli.main import run
from runtime.settings import Settings
from tests.twin.object_store import TwinObjectStore
from tests.unit.audit.ledger import POOL, Ledger


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[LedgerRecord]:
    """Of the only pool's ledger."""
    ledger = Ledger()
    ledger.set_up()
    records = ledger.records
    monkeypatch.setattr(results, "settings", lambda data: Settings())
    monkeypatch.setattr(results, "ObjectStore", lambda here: TwinObjectStore())
    monkeypatch.setattr(results, "pools_of", lambda here, pool: {POOL: 0})

    def read(first: int) -> Iterator[LedgerRecord]:
        return iter(records[first:])

    monkeypatch.setattr(results, "ledger_from", lambda bootstrap, partition: (read, len(records)))
    return records


def test_what_was_removed_is_said_by_pool(records: list[LedgerRecord], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["results", "sweep"]) == 0
    assert capsys.readouterr().out.split()[5:] == ["copies", "buried", "main", *"0000"]


def test_of_a_damaged_ledger_nothing_is_removed(
    records: list[LedgerRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    opened, adopted = records
    records[:] = [opened, adopted._replace(value=adopted.value.replace(b'"epoch":1', b'"epoch":2'))]
    assert run(["results", "sweep"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the ledger of pool main is damaged: ")
    assert said.endswith("nothing of its results was removed; run `headrace audit verify`\n")
