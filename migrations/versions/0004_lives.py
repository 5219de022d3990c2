"""Gangs count on each of their nodes; a limit of a cluster may be as large as a policy says.

Nothing is folded again. A gang that is open now was counted on the node of its rank 0 only, and is taken off there when
it closes. `loaded` of a node is right from its next start, heartbeat or join on.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE views.attempts ADD COLUMN others text[] NOT NULL DEFAULT '{}'")
    op.execute('ALTER TABLE views.clusters ALTER COLUMN "limit" TYPE bigint')


def downgrade() -> None:
    op.execute('ALTER TABLE views.clusters ALTER COLUMN "limit" TYPE integer')
    op.execute("ALTER TABLE views.attempts DROP COLUMN others")
