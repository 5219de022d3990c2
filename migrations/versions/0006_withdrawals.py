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


def upgrade() -> None:
    op.execute(WITHDRAWALS)


def downgrade() -> None:
    op.execute("DROP TABLE views.withdrawals")
