"""Authors: a model belongs to who registered it, and what follows from a publication is written by the database.

A login that may publish writes three things only: that a model is bound to a pool, that a version exists, that an alias
moves. Triggers look at the session's login, which a client cannot choose, and refuse what is another's. They write who
it was, the pointer of the alias, and the row of the outbox, which nobody writes otherwise: so no author tells a
scheduler of what the registry does not have. What the relay says comes from the row and the manifest; the text that
publishers wrote there until now is dropped.

An operator is whoever owns the tables, or is a member of `headrace_operator` (runtime.database_rights) or of
`registry_writer` (revision 1). Models that are there belong to operators: they have no row in `owners`.

Who may see a model (`audience_changes`) is for operators to say, and nothing said means everybody, as before.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE registry.owners (
    model text NOT NULL REFERENCES registry.models (name),
    change bigint NOT NULL CHECK (change > 0),
    owner text NOT NULL,
    given_by text NOT NULL CHECK (given_by <> ''),
    why text NOT NULL,
    given_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model, change)
);
COMMENT ON TABLE registry.owners IS
    'Whose each model is: the newest row counts. Empty, or no row: the operators''. Insert-only.';

CREATE TABLE registry.audience_changes (
    model text NOT NULL REFERENCES registry.models (name),
    change bigint NOT NULL CHECK (change > 0),
    kind text NOT NULL CHECK (kind IN ('tenant', 'tier', 'all')),
    name text NOT NULL CHECK ((name = '') = (kind = 'all')),
    allowed boolean NOT NULL,
    changed_by text NOT NULL CHECK (changed_by <> ''),
    why text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model, change)
);
COMMENT ON TABLE registry.audience_changes IS
    'Who may see and run each model: the newest row of each kind and name counts. Insert-only.';

ALTER TABLE registry.outbox DROP COLUMN record;

CREATE VIEW views.publishing_rules AS
    SELECT pool, coalesce((document ->> 'wheels_from_index')::boolean, true) AS wheels_from_index FROM views.policies;
COMMENT ON VIEW views.publishing_rules IS 'What an author must know of the policies in force.';
"""

WHO = """
CREATE FUNCTION registry.is_operator() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(session_user, relowner, 'MEMBER') OR EXISTS (
        SELECT FROM pg_roles WHERE rolname IN ('headrace_operator', 'registry_writer')
        AND pg_has_role(session_user, pg_roles.oid, 'MEMBER'))
    FROM pg_class WHERE pg_class.oid = 'registry.models'::regclass
$$;

CREATE FUNCTION registry.owner_of(text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT o.owner FROM registry.owners o WHERE o.model = $1 ORDER BY o.change DESC LIMIT 1), '')
$$;

CREATE FUNCTION registry.sees_all_models() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT registry.is_operator() OR NOT EXISTS (
        SELECT FROM pg_roles WHERE rolname = 'headrace_author' AND pg_has_role(session_user, pg_roles.oid, 'MEMBER'))
$$;

CREATE FUNCTION registry.is_numbered(change bigint, last bigint, what text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF change <> coalesce(last, 0) + 1 THEN
        RAISE EXCEPTION '%: expected change %, the next one, found %', what, coalesce(last, 0) + 1, change
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$;
"""

CHECKS = """
CREATE FUNCTION registry.check_model() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.name !~ '^[a-z0-9]([a-z0-9._]|-(?=[a-z0-9])){0,62}$' THEN
        RAISE EXCEPTION 'expected a model name of lower case letters, digits, ".", "_", "-", at most 63'
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM registry.hold_model(NEW.name);
    IF NOT registry.is_operator() THEN
        NEW.bound_by := session_user;
        NEW.bound_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION registry.own_model() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT registry.is_operator() THEN
        INSERT INTO registry.owners (model, change, owner, given_by, why)
        VALUES (NEW.name, 1, session_user, session_user, 'registered it');
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION registry.require_owner(model text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner text := registry.owner_of(model);
BEGIN
    IF registry.is_operator() OR NOT EXISTS (SELECT FROM registry.models m WHERE m.name = model) THEN
        RETURN;
    END IF;
    IF owner <> session_user THEN
        RAISE EXCEPTION 'model % belongs to %, found login %: give the model another name, or ask an operator for it',
            model, CASE owner WHEN '' THEN 'the operators' ELSE owner END, session_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

CREATE FUNCTION registry.hold_model(model text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM registry.require_owner(model); -- else an author could keep others from publishing
    PERFORM pg_advisory_xact_lock(hashtextextended('registry.model/' || model, 0));
    PERFORM registry.require_owner(model); -- it may have been handed over meanwhile
END $$;
COMMENT ON FUNCTION registry.hold_model IS 'Makes other writers of the model wait until the transaction ends.';

CREATE FUNCTION registry.check_version() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM registry.hold_model(NEW.model);
    IF NOT registry.is_operator() THEN
        NEW.published_by := session_user;
        NEW.published_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION registry.check_move() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    PERFORM registry.hold_model(NEW.model);
    IF NEW.alias !~ '^[a-z0-9]([a-z0-9._]|-(?=[a-z0-9])){0,62}$' THEN
        RAISE EXCEPTION 'expected an alias of lower case letters, digits, ".", "_", "-", at most 63'
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT m.move, m.version INTO last FROM registry.alias_moves m
    WHERE (m.model, m.alias) = (NEW.model, NEW.alias) ORDER BY m.move DESC LIMIT 1;
    PERFORM registry.is_numbered(NEW.move, last.move, format('alias %s@%s', NEW.model, NEW.alias));
    NEW.previous := coalesce(last.version, '');
    IF NOT registry.is_operator() THEN
        NEW.moved_by := session_user;
        NEW.moved_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION registry.check_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('registry.model/' || NEW.model, 0));
    EXECUTE format('SELECT max(change) FROM registry.%I WHERE model = $1', TG_TABLE_NAME) INTO last USING NEW.model;
    PERFORM registry.is_numbered(NEW.change, last, format('%s of model %s', TG_TABLE_NAME, NEW.model));
    RETURN NEW;
END $$;
"""

EFFECTS = """
CREATE FUNCTION registry.tell_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO registry.outbox (model, version, alias, move, event_id)
    VALUES (NEW.model, NEW.digest, '', 0, NEW.digest);
    RETURN NULL;
END $$;

CREATE FUNCTION registry.point_alias() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.move = 1 THEN
        INSERT INTO registry.aliases (model, alias, version, move) VALUES (NEW.model, NEW.alias, NEW.version, 1);
    ELSE
        UPDATE registry.aliases a SET version = NEW.version, move = NEW.move
        WHERE (a.model, a.alias) = (NEW.model, NEW.alias);
    END IF;
    INSERT INTO registry.outbox (model, version, alias, move, event_id)
    VALUES (NEW.model, NEW.version, NEW.alias, NEW.move, format('%s@%s#%s', NEW.model, NEW.alias, NEW.move));
    RETURN NULL;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER check_model BEFORE INSERT ON registry.models
    FOR EACH ROW EXECUTE FUNCTION registry.check_model();
CREATE TRIGGER own_model AFTER INSERT ON registry.models
    FOR EACH ROW EXECUTE FUNCTION registry.own_model();
CREATE TRIGGER check_version BEFORE INSERT ON registry.versions
    FOR EACH ROW EXECUTE FUNCTION registry.check_version();
CREATE TRIGGER tell_version AFTER INSERT ON registry.versions
    FOR EACH ROW EXECUTE FUNCTION registry.tell_version();
CREATE TRIGGER check_move BEFORE INSERT ON registry.alias_moves
    FOR EACH ROW EXECUTE FUNCTION registry.check_move();
CREATE TRIGGER point_alias AFTER INSERT ON registry.alias_moves
    FOR EACH ROW EXECUTE FUNCTION registry.point_alias();
CREATE TRIGGER check_change BEFORE INSERT ON registry.owners
    FOR EACH ROW EXECUTE FUNCTION registry.check_change();
CREATE TRIGGER check_change BEFORE INSERT ON registry.audience_changes
    FOR EACH ROW EXECUTE FUNCTION registry.check_change();
"""

AS_THEIR_OWNER = ("own_model", "tell_version", "point_alias")
"""Functions that write as the owner of the tables. Whoever may call one can hang it on a table of his own, and have it
write what he likes: so nobody may. The triggers here need no right to go off."""

INSERT_ONLY = ("owners", "audience_changes")
OF_A_MODEL = ("versions", "aliases", "alias_moves", "outbox")
"""Tables of which an author sees the rows of his own models."""


def upgrade() -> None:
    for statements in (TABLES, WHO, CHECKS, EFFECTS, TRIGGERS):
        op.execute(statements)
    for function in AS_THEIR_OWNER:
        op.execute(f"REVOKE EXECUTE ON FUNCTION registry.{function}() FROM PUBLIC")
    for table in INSERT_ONLY:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON registry.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION registry.refuse_change();"
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON registry.{table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_change();"
        )
    for table in OF_A_MODEL:
        op.execute(
            f"ALTER TABLE registry.{table} ENABLE ROW LEVEL SECURITY;"
            f"CREATE POLICY seen ON registry.{table} FOR SELECT"
            f" USING ((SELECT registry.sees_all_models()) OR registry.owner_of(model) = session_user);"
            f"CREATE POLICY added ON registry.{table} FOR INSERT WITH CHECK (true);"
            f"CREATE POLICY changed ON registry.{table} FOR UPDATE USING (true)"
        )


def downgrade() -> None:
    """Refused: it would give every model to whoever may publish, and show each to everybody."""
    raise NotImplementedError("owners are not taken away: restore a backup into an empty database instead")
