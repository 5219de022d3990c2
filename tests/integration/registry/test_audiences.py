"""Who may see a model: a history that only grows, kept by operators."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from registry import audiences, publishing
from registry.audiences import Audiences, Kind, Viewer
from registry.errors import RegistryError
from runtime.object_store import ObjectStore

ACME, OTHER = Viewer("acme", ("free",)), Viewer("other", ("free",))


@pytest.fixture
def echo(engine: Engine, store: ObjectStore, directory: Path) -> str:
    return publishing.publish(directory, engine=engine, store=store, who="ann", pool="main").version.model


def say(engine: Engine, kind: Kind, name: str, allowed: bool, why: str = "") -> bool:
    return audiences.change(engine, "echo", kind, name, allowed=allowed, who="olga", why=why) is not None


def test_the_newest_word_of_a_tenant_counts_and_all_are_kept(engine: Engine, echo: str) -> None:
    assert audiences.of(engine, echo).sees(ACME)
    assert say(engine, "all", "", False, "not yet")
    assert not say(engine, "all", "", False, "again")
    assert say(engine, "tenant", "acme", True)
    assert [audiences.of(engine, echo).sees(viewer) for viewer in (ACME, OTHER)] == [True, False]
    assert say(engine, "tenant", "acme", False)
    assert say(engine, "tenant", "acme", True, "asked nicely")
    assert audiences.seen_of(engine, ACME, [echo, "open"]) == [echo, "open"]
    assert audiences.seen_of(engine, OTHER, [echo, "open"]) == ["open"]
    with engine.connect() as connection:
        history = audiences.history(connection, echo)
    assert [(c.change, c.kind, c.name, c.allowed, c.who, c.why) for c in history] == [
        (1, "all", "", False, "olga", "not yet"),
        (2, "tenant", "acme", True, "olga", ""),
        (3, "tenant", "acme", False, "olga", ""),
        (4, "tenant", "acme", True, "olga", "asked nicely"),
    ]
    assert all(change.changed_ms > 0 for change in history)


def test_a_door_hears_of_a_change_when_its_answer_is_old(engine: Engine, echo: str) -> None:
    door, patient = Audiences(engine, 0.0), Audiences(engine, 3_600.0)
    assert door.of(echo).sees(ACME)
    assert patient.of(echo).sees(ACME)
    say(engine, "all", "", False)
    assert not door.of(echo).sees(ACME)
    assert patient.of(echo).sees(ACME)


def test_what_was_said_is_not_rewritten(engine: Engine, echo: str) -> None:
    say(engine, "all", "", False)
    for statement in (
        "UPDATE registry.audience_changes SET allowed = true",
        "DELETE FROM registry.audience_changes",
        "TRUNCATE registry.audience_changes",
        "INSERT INTO registry.audience_changes (model, change, kind, name, allowed, changed_by, why)"
        " VALUES ('echo', 3, 'all', '', true, 'x', '')",
    ):
        with pytest.raises(DBAPIError) as refused, engine.begin() as connection:
            connection.execute(text(statement))
        assert getattr(refused.value.orig, "sqlstate", "") == "23001", statement


def test_what_names_nothing_is_refused(engine: Engine, echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RegistryError, match="expected a tier name"):
        say(engine, "tier", "Gold!", True)
    with pytest.raises(RegistryError, match="no model is named"):
        audiences.change(engine, "none", "all", "", allowed=False, who="olga", why="")
    monkeypatch.setattr(audiences, "RULES_MAX", 2)
    for tenant in ("a", "b"):
        say(engine, "tenant", tenant, False)
    with pytest.raises(RegistryError, match="expected at most 2 tenants and tiers"):
        say(engine, "tenant", "c", False)
    assert say(engine, "tenant", "a", True), "of whom something is said already something else may be said"
