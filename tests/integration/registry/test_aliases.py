from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from registry import aliases, models, publishing
from registry.errors import RegistryError
from runtime.object_store import ObjectStore
from tests.unit.registry.samples import MODEL_PY, write_model
from views import withdrawn


@pytest.fixture
def versions(engine: Engine, store: ObjectStore, tmp_path: Path) -> list[str]:
    """Four versions of the model echo."""
    return [
        publishing.publish(
            write_model(tmp_path / f"model{number}", code=MODEL_PY + f"# {number}\n"),
            engine=engine,
            store=store,
            who="ann",
            pool="main",
        ).version.digest
        for number in range(4)
    ]


def test_promote_and_rollback_leave_a_history(engine: Engine, versions: list[str]) -> None:
    a, b, c, _ = versions
    for version, why in ((a, "first"), (b, "better"), (c, "best")):
        aliases.promote(engine, "echo", "live", version, "ann", why)
    assert aliases.rollback(engine, "echo", "live", "bob", "worse").version == b
    assert aliases.rollback(engine, "echo", "live", "bob", "worse still").version == a
    moves = aliases.history(engine, "echo", "live")
    assert [(m.move, m.version, m.previous, m.is_rollback, m.who, m.why) for m in moves] == [
        (1, a, "", False, "ann", "first"),
        (2, b, a, False, "ann", "better"),
        (3, c, b, False, "ann", "best"),
        (4, b, c, True, "bob", "worse"),
        (5, a, b, True, "bob", "worse still"),
    ]
    assert models.show(engine, "echo").aliases == (models.RegisteredAlias("live", a, 5),)


def test_rollback_after_a_new_promotion_goes_to_what_stood_before_it(engine: Engine, versions: list[str]) -> None:
    a, b, c, _ = versions
    aliases.promote(engine, "echo", "live", a, "ann", "")
    aliases.promote(engine, "echo", "live", b, "ann", "")
    aliases.rollback(engine, "echo", "live", "ann", "")
    aliases.promote(engine, "echo", "live", c, "ann", "")
    assert aliases.rollback(engine, "echo", "live", "ann", "").version == a
    with pytest.raises(RegistryError, match="no version stood before it"):
        aliases.rollback(engine, "echo", "live", "ann", "")


def test_promoting_what_is_in_force_adds_nothing(engine: Engine, versions: list[str]) -> None:
    first = aliases.promote(engine, "echo", "live", versions[0], "ann", "")
    assert aliases.promote(engine, "echo", "live", versions[0], "bob", "again") == first
    assert len(aliases.history(engine, "echo", "live")) == 1


def test_a_move_that_names_nothing_is_refused(engine: Engine, versions: list[str]) -> None:
    for act, code in (
        (lambda: aliases.promote(engine, "echo", "live", "sha256:" + "0" * 64, "ann", ""), "unknown_version"),
        (lambda: aliases.promote(engine, "other", "live", versions[0], "ann", ""), "unknown_version"),
        (lambda: aliases.promote(engine, "echo", "Live!", versions[0], "ann", ""), "invalid"),
        (lambda: aliases.promote(engine, "echo", "live", versions[0], "", ""), "invalid"),
        (lambda: aliases.rollback(engine, "echo", "beta", "ann", ""), "unknown_alias"),
        (lambda: aliases.history(engine, "echo", "beta"), "unknown_alias"),
        (lambda: aliases.history(engine, "nobody", "live"), "unknown_model"),
    ):
        with pytest.raises(RegistryError) as caught:
            act()
        assert caught.value.code == code


def test_racing_moves_are_numbered_without_gaps_and_told_in_that_order(engine: Engine, versions: list[str]) -> None:
    start = threading.Barrier(8)

    def race(number: int) -> None:
        start.wait(10)
        for turn in range(5):
            aliases.promote(engine, "echo", "live", versions[(number + turn) % 4], f"ann{number}", "")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(race, range(8)))
    moves = aliases.history(engine, "echo", "live")
    assert [move.move for move in moves] == list(range(1, len(moves) + 1))
    assert [move.previous for move in moves] == ["", *(move.version for move in moves[:-1])]
    with engine.connect() as connection:
        told = (
            connection.execute(text("SELECT version FROM registry.outbox WHERE alias = 'live' ORDER BY id"))
            .scalars()
            .all()
        )
    assert told == [move.version for move in moves]


def test_an_alias_means_what_the_scheduler_was_told_last(engine: Engine, versions: list[str]) -> None:
    aliases.promote(engine, "echo", "live", versions[0], "ann", "")
    aliases.promote(engine, "echo", "live", versions[1], "ann", "")
    assert (models.resolve(engine, "echo").digest, models.resolve(engine, "echo").relayed) == (versions[0], False)
    tell(engine, "alias = '' OR move = 1")
    assert (models.resolve(engine, "echo").digest, models.resolve(engine, "echo").relayed) == (versions[0], True)
    tell(engine, "move = 2")
    assert models.resolve(engine, "echo").digest == versions[1]


def tell(engine: Engine, which: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE registry.outbox SET published_at = now() WHERE published_at IS NULL AND ({which})")
        )


def withdraw(engine: Engine, version: str, *, kill: bool = False) -> None:
    """As the views say once the ledger has it."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO views.withdrawals VALUES ('main', 'echo', :version, :kill, 1)"),
            {"version": version, "kill": kill},
        )


def test_no_alias_comes_to_a_withdrawn_version(
    engine: Engine, store: ObjectStore, tmp_path: Path, versions: list[str]
) -> None:
    a, b, c, _ = versions
    for version in (a, b):
        aliases.promote(engine, "echo", "live", version, "ann", "")
    withdraw(engine, a)
    again = write_model(tmp_path / "again", code=MODEL_PY + "# 0\n")
    for act in (
        lambda: aliases.promote(engine, "echo", "live", a, "ann", ""),
        lambda: aliases.promote(engine, "echo", "new", a, "ann", ""),
        lambda: aliases.rollback(engine, "echo", "live", "ann", ""),
        lambda: publishing.publish(again, engine=engine, store=store, who="ann", pool="main", alias="live"),
    ):
        with pytest.raises(RegistryError, match=f"found {a}, which was withdrawn for ever: promote another") as caught:
            act()
        assert caught.value.code == "withdrawn"
    assert [move.version for move in aliases.history(engine, "echo", "live")] == [a, b]
    assert [alias.alias for alias in models.show(engine, "echo").aliases] == ["live"]
    assert aliases.promote(engine, "echo", "live", c, "ann", "").move == 3


def test_an_alias_on_a_withdrawn_version_is_not_told_to_stay_there(engine: Engine, versions: list[str]) -> None:
    aliases.promote(engine, "echo", "live", versions[0], "ann", "")
    withdraw(engine, versions[0])
    with pytest.raises(RegistryError, match="withdrawn for ever"):
        aliases.promote(engine, "echo", "live", versions[0], "ann", "")
    assert [version.withdrawn for version in models.versions(engine, "echo")] == [
        version.digest == versions[0] for version in models.versions(engine, "echo")
    ]
    assert models.resolve(engine, "echo@live").withdrawn
    assert not models.resolve(engine, f"echo@{versions[1]}").withdrawn


def test_a_withdrawal_is_known_as_strictly_as_it_was_asked_for(engine: Engine, versions: list[str]) -> None:
    a, b, c, _ = versions
    withdraw(engine, a)
    withdraw(engine, b, kill=True)
    with engine.connect() as connection:
        known = {
            (v, kill): withdrawn.is_withdrawn(connection, v, kill=kill) for v in (a, b, c) for kill in (False, True)
        }
        shown = withdrawn.versions(connection, "echo")
        assert shown == withdrawn.versions(connection)
        assert withdrawn.versions(connection, "other") == {}
    assert [key for key, said in known.items() if said] == [(a, False), (b, False), (b, True)]
    assert {version: (entry.kill, entry.waiting) for version, entry in shown.items()} == {a: (False, 0), b: (True, 0)}
