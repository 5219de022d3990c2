"""Each login may do what its role needs, and nothing else: the database says so, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from contract.policy import Pool
from registry import aliases, audiences, keys, models, owners, pools, publishing, uploads
from registry.errors import RegistryError
from registry.relay import RELAY_LOCK
from runtime import database_logins
from runtime.database_logins import rights_held
from runtime.database_rights import RIGHTS
from runtime.object_store import ObjectStore
from runtime.roles import AUTHOR, OPERATOR, Role
from runtime.settings import Settings
from tests.integration.registry.conftest import POLICY
from tests.integration.registry.database_logins import PASSWORD, logins_of, owners_connection
from tests.unit.registry.samples import MODEL_PY, MODEL_YAML, write_model
from views import queries, retention, withdrawn
from views.retention import OldCopy

DENIED = "42501"
LoginOf = Callable[..., Engine]


@pytest.fixture
def login_of(settings: Settings, engine: Engine) -> Iterator[LoginOf]:
    with logins_of(settings) as login_of:
        yield login_of


def publish(engine: Engine, store: ObjectStore, path: Path, name: str, number: int = 1, alias: str = "live") -> str:
    directory = write_model(
        path / f"{name}-{number}",
        yaml=MODEL_YAML.replace("name: echo", f"name: {name}"),
        code=MODEL_PY + f"# {number}\n",
    )
    done = publishing.publish(directory, engine=engine, store=store, who="said by hand", pool="main", alias=alias)
    return done.version.digest


def state_of(engine: Engine, statement: str) -> str | None:
    """SQLSTATE of the refusal; None: the statement is taken."""
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    except DBAPIError as error:
        return getattr(error.orig, "sqlstate", "") or ""
    return None


@pytest.mark.parametrize("role", RIGHTS)
def test_a_login_has_the_rights_of_its_role_and_no_others(role: str, login_of: LoginOf, settings: Settings) -> None:
    with login_of(role).connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        held = rights_held(driver, role)
    assert [right for right in held if not right.good] == []
    assert {right.place for right in held} > {"public.headrace_revision", "registry.keys", "views.jobs"}
    with owners_connection(settings) as connection:
        assert [right for right in rights_held(connection, role) if not right.good], "the owner may more"


def test_a_right_that_is_no_longer_in_the_table_is_taken_away(login_of: LoginOf, settings: Settings) -> None:
    ann = login_of(AUTHOR)
    with owners_connection(settings) as connection:
        connection.execute("GRANT SELECT ON registry.keys TO headrace_author")
        assert state_of(ann, "SELECT * FROM registry.keys") is None
        assert database_logins.grant_all(connection)
    assert state_of(ann, "SELECT * FROM registry.keys") == DENIED


def test_a_login_has_one_role_at_a_time(login_of: LoginOf, settings: Settings) -> None:
    login = login_of(OPERATOR, "ann")
    assert state_of(login, "SELECT * FROM registry.keys") is None
    with owners_connection(settings) as connection:
        database_logins.make_login(connection, "ann", AUTHOR, PASSWORD)
    assert state_of(login, "SELECT * FROM registry.keys") == DENIED


def test_a_login_that_may_make_no_roles_grants_nothing(login_of: LoginOf, settings: Settings) -> None:
    url = make_url(login_of(OPERATOR).url.render_as_string(hide_password=False)).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        assert not database_logins.grant_all(connection)


def test_every_table_is_some_roles(login_of: LoginOf, engine: Engine) -> None:
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('registry', 'views')")
        )
        assert set(found.scalars()) <= {table for rights in RIGHTS.values() for table in rights}


MAKE_A_KEY = (
    "INSERT INTO registry.keys (sha256, id, tenant, tiers, scope) VALUES (repeat('a', 64), 'k', 't', '{t}', 'operator')"
)
MAKE_AN_UPLOAD = (
    "INSERT INTO registry.uploads (upload, tenant, state, bytes, sha256, part_bytes, parts, expires_at)"
    " VALUES ('u-' || repeat('a', 32), 't', 'ready', 1, '', 1, '', now() + interval '1 day')"
)
TAKE_A_LOCK = tuple(
    f"SELECT pg_{attempt}advisory_{scope}lock{shared}({number})"
    for attempt in ("", "try_")
    for scope in ("", "xact_")
    for shared in ("", "_shared")
    for number in (RELAY_LOCK, "1, 2")
)
OF_NOBODY = (
    "SELECT * FROM public.headrace_revision",
    "CREATE TABLE public.mine (x int)",
    "CREATE TEMPORARY TABLE mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('postgresql.conf')",
    "ALTER TABLE registry.versions DISABLE TRIGGER ALL",
    "ALTER TABLE registry.versions DISABLE ROW LEVEL SECURITY",
    "DROP TRIGGER check_version ON registry.versions",
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE postgres",
    "CREATE OR REPLACE FUNCTION registry.is_operator() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "SELECT registry.point_alias()",
    "UPDATE registry.versions SET published_by = 'mallory'",
    "UPDATE registry.alias_moves SET version = 'mallory'",
    "DELETE FROM registry.models",
    "TRUNCATE registry.versions",
    "INSERT INTO registry.outbox (model, version, alias, move, event_id) VALUES ('a', 'b', '', 0, 'c')",
    "INSERT INTO registry.aliases (model, alias, version, move) VALUES ('a', 'b', 'c', 1)",
    "UPDATE registry.aliases SET move = 2",
)
NOT_OF = {
    AUTHOR: (
        "SELECT * FROM registry.keys",
        MAKE_A_KEY,
        "SELECT * FROM registry.owners",
        "INSERT INTO registry.owners (model, change, owner, given_by, why) VALUES ('theirs', 1, session_user, 'a', '')",
        "SELECT * FROM registry.audience_changes",
        "INSERT INTO registry.pools VALUES ('mine', 7)",
        "UPDATE registry.outbox SET published_at = now()",
        "SELECT * FROM views.jobs",
        "SELECT * FROM views.receipts",
        "SELECT * FROM views.policies",
        "DELETE FROM views.withdrawals",
        "INSERT INTO registry.models (name, pool, bound_at, bound_by) VALUES ('mine', 'main', now(), 'other')",
        *TAKE_A_LOCK,
    ),
    Role.API: (
        "UPDATE registry.keys SET revoked_at = now()",
        MAKE_A_KEY,
        "INSERT INTO registry.models (name, pool, bound_by) VALUES ('mine', 'main', 'api')",
        "UPDATE views.jobs SET tenant = 'other'",
        "DELETE FROM views.jobs",
        *TAKE_A_LOCK,
        "UPDATE registry.outbox SET published_at = now()",
        "UPDATE registry.uploads SET tenant = 'other'",
    ),
    Role.INTAKE: (
        "SELECT * FROM registry.keys",
        "SELECT * FROM views.receipts",
        *TAKE_A_LOCK,
        "INSERT INTO views.jobs SELECT * FROM views.jobs",
        "INSERT INTO registry.models (name, pool, bound_by) VALUES ('mine', 'main', 'intake')",
        "UPDATE registry.uploads SET state = 'ready'",
        "DELETE FROM registry.uploads",
        MAKE_AN_UPLOAD,
    ),
    Role.PROJECTOR: ("SELECT * FROM registry.keys", "SELECT * FROM registry.models"),
    Role.RELAY: (
        "SELECT * FROM registry.keys",
        "SELECT * FROM views.jobs",
        "UPDATE registry.outbox SET event_id = 'other'",
        "SELECT * FROM registry.aliases",
    ),
    OPERATOR: ("UPDATE registry.keys SET scope = 'operator'", "UPDATE views.jobs SET tenant = 'other'"),
}


@pytest.mark.parametrize("role", RIGHTS)
def test_what_a_login_must_not_do_is_denied(role: str, login_of: LoginOf) -> None:
    login = login_of(role)
    taken = {statement: state_of(login, statement) for statement in (*OF_NOBODY, *NOT_OF[role])}
    assert {statement: state for statement, state in taken.items() if state != DENIED} == {}


def test_intake_keeps_an_upload_on_that_is_named(login_of: LoginOf, engine: Engine) -> None:
    assert state_of(engine, MAKE_AN_UPLOAD) is None
    upload = "u-" + "a" * 32
    with login_of(Role.INTAKE).begin() as connection:
        assert uploads.name(connection, "t", [upload], 9 * 86_400) == {upload: 1}
        assert uploads.states(connection, "t", [upload]) == {upload: "ready"}
    with login_of(Role.API).begin() as connection:
        row = uploads.of(connection, "t", upload)
        assert row is not None
        assert row.expires_ms - row.created_ms > 8 * 86_400_000


def test_an_author_publishes_as_the_login_and_not_as_the_client_says(
    login_of: LoginOf, engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    ann = login_of(AUTHOR, "ann")
    first, second = (publish(ann, store, tmp_path, "mine", number) for number in (1, 2))
    assert {version.published_by for version in models.versions(engine, "mine")} == {"ann"}
    assert aliases.rollback(ann, "mine", "live", "said by hand", "bad").version == first
    assert [move.who for move in aliases.history(engine, "mine", "live")] == ["ann"] * 3
    assert [change.owner for change in owners.history(engine, "mine")] == ["ann"]
    with engine.connect() as connection:
        told = connection.execute(text("SELECT version, alias, move FROM registry.outbox ORDER BY id")).all()
    assert [tuple(row) for row in told] == [
        (first, "", 0),
        (first, "live", 1),
        (second, "", 0),
        (second, "live", 2),
        (first, "live", 3),
    ]


def test_another_authors_model_is_refused_in_a_sentence_before_anything_is_uploaded(
    login_of: LoginOf, engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    ann, bob = login_of(AUTHOR, "ann"), login_of(AUTHOR, "bob")
    version = publish(ann, store, tmp_path, "hers")
    before = sorted(store.list("blobs/"))
    for act in (
        lambda: publish(bob, store, tmp_path, "hers", 2),
        lambda: aliases.promote(bob, "hers", "live", version, "bob", ""),
        lambda: aliases.rollback(bob, "hers", "live", "bob", ""),
    ):
        with pytest.raises(RegistryError, match=r"expected a model of login bob, found 'hers', which belongs to ann"):
            act()
    assert sorted(store.list("blobs/")) == before
    assert aliases.promote(engine, "hers", "beta", version, "olga", "").who == "olga", "an operator moves every alias"


AGAINST_ANOTHER = (
    "INSERT INTO registry.versions (digest, model, manifest, published_by)"
    " VALUES ('sha256:' || encode(sha256('{}'), 'hex'), 'hers', '{}', 'ann')",
    "INSERT INTO registry.alias_moves (model, alias, move, version, previous, is_rollback, moved_by, why)"
    " VALUES ('hers', 'live', 2, :version, '', false, 'ann', '')",
    "INSERT INTO registry.alias_moves (model, alias, move, version, previous, is_rollback, moved_by, why)"
    " VALUES ('hers', 'beta', 1, :version, '', false, 'ann', '')",
    "SELECT registry.hold_model('hers')",
)


def test_an_author_who_goes_round_the_command_is_refused_by_the_database(
    login_of: LoginOf, store: ObjectStore, tmp_path: Path
) -> None:
    ann, bob = login_of(AUTHOR, "ann"), login_of(AUTHOR, "bob")
    version = publish(ann, store, tmp_path, "hers")
    for statement in AGAINST_ANOTHER:
        values = {"version": version} if ":version" in statement else {}
        said = "model hers belongs to ann, found login bob"
        with pytest.raises(ProgrammingError, match=said) as refused, bob.begin() as connection:
            connection.execute(text(statement), values)
        assert getattr(refused.value.orig, "sqlstate", "") == DENIED


@pytest.mark.parametrize("function", ["own_model", "tell_version", "point_alias"])
def test_no_author_hangs_what_writes_as_the_owner_on_a_table_of_his_own(
    function: str, login_of: LoginOf, settings: Settings
) -> None:
    ann = login_of(AUTHOR, "ann")
    with owners_connection(settings) as connection:
        connection.execute(f"GRANT TEMPORARY ON DATABASE {connection.info.dbname} TO ann")
    attempt = (
        "CREATE TEMPORARY TABLE mine (name text, model text, digest text, alias text, version text, move bigint);"
        f"CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION registry.{function}()"
    )
    assert state_of(ann, attempt) == DENIED
    with owners_connection(settings) as connection:
        connection.execute(f"REVOKE TEMPORARY ON DATABASE {connection.info.dbname} FROM ann")


def test_an_author_who_holds_a_model_of_another_is_refused_before_he_waits(
    login_of: LoginOf, engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    """Else he would stand in the line of those who may publish it."""
    ann, bob = login_of(AUTHOR, "ann"), login_of(AUTHOR, "bob")
    publish(ann, store, tmp_path, "hers")
    hold = "SELECT registry.hold_model('hers')"
    with engine.begin() as operator:
        operator.execute(text(hold))
        assert state_of(bob, f"SET LOCAL lock_timeout = 200; {hold}") == DENIED
        assert state_of(ann, f"SET LOCAL lock_timeout = 200; {hold}") == "55P03"


def test_an_author_sees_no_version_and_no_alias_of_another(
    login_of: LoginOf, engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    ann, bob = login_of(AUTHOR, "ann"), login_of(AUTHOR, "bob")
    publish(ann, store, tmp_path, "hers")
    publish(bob, store, tmp_path, "his")
    seen = {model.name: (len(model.aliases), len(model.versions)) for model in models.listed(bob)}
    assert seen == {"hers": (0, 0), "his": (1, 1)}
    for table in ("versions", "aliases", "alias_moves", "outbox"):
        with bob.connect() as connection:
            found = connection.execute(text(f"SELECT DISTINCT model FROM registry.{table}")).scalars().all()
        assert found == ["his"], table
    for role in (OPERATOR, Role.API, Role.INTAKE):
        assert {model.name: len(model.versions) for model in models.listed(login_of(role))} == {"hers": 1, "his": 1}


def test_moves_of_an_author_are_numbered_without_gaps(login_of: LoginOf, store: ObjectStore, tmp_path: Path) -> None:
    ann = login_of(AUTHOR, "ann")
    version = publish(ann, store, tmp_path, "mine")
    statement = (
        "INSERT INTO registry.alias_moves (model, alias, move, version, previous, is_rollback, moved_by, why)"
        f" VALUES ('mine', 'live', {{}}, '{version}', 'lie', false, 'x', '')"
    )
    assert [state_of(ann, statement.format(number)) for number in (1, 3, 99)] == ["23001"] * 3
    assert state_of(ann, statement.format(2)) is None
    assert aliases.history(ann, "mine", "live")[-1].previous == version


def test_names_that_are_none_are_refused(login_of: LoginOf, store: ObjectStore, tmp_path: Path) -> None:
    ann = login_of(AUTHOR, "ann")
    version = publish(ann, store, tmp_path, "mine")
    for name in ("Mine", "a b", "a-", "", "x" * 64, "a\nb"):
        assert (
            state_of(ann, f"INSERT INTO registry.models (name, pool, bound_by) VALUES ('{name}', 'main', 'a')")
            == "23514"
        )
        assert (
            state_of(
                ann,
                "INSERT INTO registry.alias_moves (model, alias, move, version, previous, is_rollback, moved_by, why)"
                f" VALUES ('mine', '{name}', 1, '{version}', '', false, 'a', '')",
            )
            == "23514"
        )


def test_what_was_there_and_what_operators_register_is_theirs_until_they_hand_it_over(
    login_of: LoginOf, engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    ann, olga = login_of(AUTHOR, "ann"), login_of(OPERATOR, "olga")
    publish(olga, store, tmp_path, "ours")
    with pytest.raises(RegistryError, match="which belongs to operators"):
        publish(ann, store, tmp_path, "ours", 4)
    with pytest.raises(RegistryError, match="expected an operator's login"):
        owners.give(ann, "ours", "ann", "ann", "")
    given = owners.give(olga, "ours", "ann", "olga", "she writes it")
    assert given is not None
    assert (given.change, given.owner, given.who, given.why) == (1, "ann", "olga", "she writes it")
    assert owners.give(olga, "ours", "ann", "olga", "again") is None
    publish(ann, store, tmp_path, "ours", 2)
    assert owners.give(engine, "ours", "", "olga", "she left") is not None
    with pytest.raises(RegistryError, match="which belongs to operators"):
        publish(ann, store, tmp_path, "ours", 3)
    assert [change.owner for change in owners.history(engine, "ours")] == ["ann", ""]
    with pytest.raises(RegistryError) as unknown:
        owners.give(olga, "nobody", "ann", "olga", "")
    assert unknown.value.code == "unknown_model"


@pytest.mark.parametrize("owner", ["x" * 64, " ann", "a\nn"])
def test_an_owner_that_no_login_can_be_is_refused(engine: Engine, owner: str) -> None:
    with pytest.raises(RegistryError, match="expected the name of a login"):
        owners.give(engine, "echo", owner, "olga", "")


def test_who_owned_a_model_is_not_rewritten(
    login_of: LoginOf, engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    publish(login_of(AUTHOR, "ann"), store, tmp_path, "mine")
    for statement in (
        "UPDATE registry.owners SET owner = 'bob'",
        "DELETE FROM registry.owners",
        "TRUNCATE registry.owners",
        "INSERT INTO registry.owners (model, change, owner, given_by, why) VALUES ('mine', 3, 'bob', 'x', '')",
    ):
        assert state_of(engine, statement) == "23001", statement


def test_an_operators_login_does_an_operators_work(login_of: LoginOf, engine: Engine) -> None:
    olga = login_of(OPERATOR)
    secret = keys.create(olga, "acme", ["free"])
    key = keys.resolve(login_of(Role.API), secret)
    assert key is not None
    assert keys.revoke(olga, key.id)
    pools.register(olga, msgspec.structs.replace(POLICY, pools=POLICY.pools | {"third": Pool(partition=2)}))
    assert pools.partitions(engine)["third"] == 2
    with olga.begin() as connection:
        assert retention.remove_jobs(connection, "main", ["main-" + "0" * 32], 1) == 0
        assert retention.remove_copies(connection, "main", 1, OldCopy("", 0), OldCopy("z", 1)) == 0


def test_an_author_reads_what_the_commands_of_authors_ask(
    login_of: LoginOf, engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    ann = login_of(AUTHOR)
    version = publish(ann, store, tmp_path, "mine")
    with engine.begin() as connection:
        for pool, document in (("main", "{}"), ("other", '{"wheels_from_index": false}')):
            policy = {"pool": pool, "document": document}
            connection.execute(text("INSERT INTO views.policies VALUES (:pool, 'f', :document, 1, 1)"), policy)
        connection.execute(text("INSERT INTO views.withdrawals VALUES ('main', 'mine', :v, false, 1)"), {"v": version})
    with ann.connect() as connection:
        assert queries.publishing_rules(connection) == {"main": True, "other": False}
        assert [(gone.version, gone.waiting) for gone in withdrawn.versions(connection).values()] == [(version, 0)]
        assert not audiences.may_read(connection)
    assert models.resolve(ann, "mine").withdrawn
    assert [each.digest for each in models.versions(ann, "mine")] == [version]
    assert len(aliases.history(ann, "mine", "live")) == 1
