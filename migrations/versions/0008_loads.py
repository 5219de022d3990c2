"""What an attempt that succeeded left, and how long it waited for its version to be loaded.

Attempts that ended before have nothing there: their ledgers say neither.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE views.attempts ADD COLUMN bytes bigint")
    op.execute("ALTER TABLE views.attempts ADD COLUMN load_ms bigint")


def downgrade() -> None:
    for column in ("load_ms", "bytes"):
        op.execute(f"ALTER TABLE views.attempts DROP COLUMN {column}")
