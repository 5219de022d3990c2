"""The registry: pools, models, versions, aliases with their history, the outbox, and API keys.

Triggers keep what must never change, whoever asks: pools, models, versions and alias moves are insert-only, an alias
moves only together with its history row, an outbox row changes once (published), a key only by revocation. The roles
have the same rules as grants, for installations that give each process its own login.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA registry;

CREATE TABLE registry.pools (
    name text PRIMARY KEY,
    partition integer NOT NULL UNIQUE CHECK (partition >= 0)
);
COMMENT ON TABLE registry.pools IS 'Pools and their partition of jobs and ledger. Insert-only.';

CREATE TABLE registry.models (
    name text PRIMARY KEY,
    pool text NOT NULL REFERENCES registry.pools (name),
    bound_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    bound_by text NOT NULL
);
COMMENT ON TABLE registry.models IS 'A model is bound to a pool for ever. Insert-only.';

CREATE TABLE registry.versions (
    digest text PRIMARY KEY CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
    model text NOT NULL REFERENCES registry.models (name),
    manifest text NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_by text NOT NULL,
    UNIQUE (model, digest),
    CHECK (digest = 'sha256:' || encode(sha256(convert_to(manifest, 'UTF8')), 'hex'))
);
COMMENT ON TABLE registry.versions IS 'The commit point of publishing: a manifest and its digest. Insert-only.';

CREATE TABLE registry.alias_moves (
    model text NOT NULL,
    alias text NOT NULL,
    move bigint NOT NULL CHECK (move > 0),
    version text NOT NULL,
    previous text NOT NULL,
    is_rollback boolean NOT NULL,
    moved_by text NOT NULL CHECK (moved_by <> ''),
    why text NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model, alias, move),
    FOREIGN KEY (model, version) REFERENCES registry.versions (model, digest)
);
COMMENT ON TABLE registry.alias_moves IS 'Every move of an alias: 1, 2, 3… without gaps, in commit order. Insert-only.';

CREATE TABLE registry.aliases (
    model text NOT NULL,
    alias text NOT NULL,
    version text NOT NULL,
    move bigint NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, version) REFERENCES registry.versions (model, digest)
);
COMMENT ON TABLE registry.aliases IS 'Where each alias points now; `move` names the history row that says why.';

CREATE TABLE registry.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model text NOT NULL REFERENCES registry.models (name),
    version text NOT NULL,
    alias text NOT NULL,
    move bigint NOT NULL,
    event_id text NOT NULL UNIQUE,
    record text NOT NULL,
    published_at timestamptz,
    CHECK ((alias = '') = (move = 0)),
    FOREIGN KEY (model, version) REFERENCES registry.versions (model, digest)
);
CREATE INDEX outbox_waiting ON registry.outbox (id) WHERE published_at IS NULL;
CREATE UNIQUE INDEX outbox_subject ON registry.outbox (model, version, alias, move);
COMMENT ON TABLE registry.outbox IS 'Records for jobs, committed with what they tell. Ids follow commit order.';

CREATE TABLE registry.keys (
    sha256 text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    id text NOT NULL UNIQUE,
    tenant text NOT NULL,
    tiers text[] NOT NULL CHECK (cardinality(tiers) > 0),
    scope text NOT NULL CHECK (scope IN ('user', 'operator')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);
COMMENT ON TABLE registry.keys IS 'API keys by the sha256 of their secret, which is shown once and kept nowhere.';
"""

GUARDS = """
CREATE FUNCTION registry.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'registry.% is insert-only: % refused. Publish a new version or move an alias instead',
        TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION registry.check_alias() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.model, NEW.alias, NEW.move) IS DISTINCT FROM (OLD.model, OLD.alias, OLD.move + 1)
       OR TG_OP = 'INSERT' AND NEW.move <> 1
       OR NOT EXISTS (SELECT FROM registry.alias_moves m
                      WHERE (m.model, m.alias, m.move, m.version) = (NEW.model, NEW.alias, NEW.move, NEW.version)) THEN
        RAISE EXCEPTION 'alias %@% moves by one history row at a time: write registry.alias_moves first',
            NEW.model, NEW.alias USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION registry.check_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.published_at IS NOT NULL OR NEW.published_at IS NULL
       OR to_jsonb(NEW) - 'published_at' IS DISTINCT FROM to_jsonb(OLD) - 'published_at' THEN
        RAISE EXCEPTION 'an outbox row changes once, when it is published' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION registry.check_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL
       OR to_jsonb(NEW) - 'revoked_at' IS DISTINCT FROM to_jsonb(OLD) - 'revoked_at' THEN
        RAISE EXCEPTION 'a key changes once, when it is revoked: create another' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION registry.wake_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('registry_outbox', '');
    RETURN NULL;
END $$;

CREATE TRIGGER check_alias BEFORE INSERT OR UPDATE ON registry.aliases
    FOR EACH ROW EXECUTE FUNCTION registry.check_alias();
CREATE TRIGGER check_outbox BEFORE UPDATE ON registry.outbox FOR EACH ROW EXECUTE FUNCTION registry.check_outbox();
CREATE TRIGGER check_key BEFORE UPDATE ON registry.keys FOR EACH ROW EXECUTE FUNCTION registry.check_key();
CREATE TRIGGER wake_relay AFTER INSERT ON registry.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION registry.wake_relay();
"""

INSERT_ONLY = ("pools", "models", "versions", "alias_moves")
NEVER_DELETED = (*INSERT_ONLY, "aliases", "outbox", "keys")

ROLES = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'registry_reader') THEN
        CREATE ROLE registry_reader NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'registry_writer') THEN
        CREATE ROLE registry_writer NOLOGIN;
    END IF;
    GRANT USAGE ON SCHEMA registry TO registry_reader, registry_writer;
    GRANT SELECT ON ALL TABLES IN SCHEMA registry TO registry_reader, registry_writer;
    GRANT INSERT ON ALL TABLES IN SCHEMA registry TO registry_writer;
    GRANT UPDATE (version, move) ON registry.aliases TO registry_writer;
    GRANT UPDATE (published_at) ON registry.outbox TO registry_writer;
    GRANT UPDATE (revoked_at) ON registry.keys TO registry_writer;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'this login may not create roles: the registry_* roles are left out, the triggers hold without them';
END $$;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(GUARDS)
    for table in NEVER_DELETED:
        refused = "UPDATE OR DELETE" if table in INSERT_ONLY else "DELETE"
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE {refused} ON registry.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION registry.refuse_change();"
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON registry.{table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_change();"
        )
    op.execute(ROLES)


def downgrade() -> None:
    """Refused: it would throw away published versions and their history."""
    raise NotImplementedError("the first revision is not undone: restore a backup into an empty database instead")
