"""From where on a pool takes signed records only, as its ledger says.

Rows that are there become right by themselves: their pools are opened anew when schedulers of this release take over,
and until then no pool asks for signatures.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE views.ledger_positions ADD COLUMN signed_from bigint NOT NULL DEFAULT -1")


def downgrade() -> None:
    op.execute("ALTER TABLE views.ledger_positions DROP COLUMN signed_from")
