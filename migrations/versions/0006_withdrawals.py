"""Withdrawn versions. Until rules 4 no ledger says any."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WITHDRAWALS = """
CREATE TABLE views.withdrawals (
    pool text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    kill boolean NOT NULL,
    withdrawn_ms bigint NOT NULL,
    PRIMARY KEY (pool, model, version)
);
"""

ROLES = """
DO $$
BEGIN
    IF (SELECT count(*) FROM pg_roles WHERE rolname IN ('registry_reader', 'registry_writer')) = 2 THEN
        GRANT USAGE ON SCHEMA views TO registry_reader, registry_writer;
        GRANT SELECT ON views.withdrawals TO registry_reader, registry_writer;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'this login may not grant: whoever reads versions as a registry_* role needs SELECT on withdrawals';
END $$;
"""
"""Whoever reads the versions of a model sees which are withdrawn."""


def upgrade() -> None:
    op.execute(WITHDRAWALS)
    op.execute(ROLES)


def downgrade() -> None:
    op.execute("DROP TABLE views.withdrawals")
