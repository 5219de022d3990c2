"""Jobs whose media are prepared before they wait for a slot, and what the nodes of a cluster do.

What was folded before has nothing there, and no job had media then.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

COLUMNS = (
    ("jobs", "media", "integer NOT NULL DEFAULT 0"),
    ("jobs", "preparation", "text NOT NULL DEFAULT ''"),
    ("jobs", "prepared_ms", "bigint"),
    ("jobs", "prepare_node", "text NOT NULL DEFAULT ''"),
    ("jobs", "prepare_cluster", "text NOT NULL DEFAULT ''"),
    ("nodes", "kind", "text NOT NULL DEFAULT 'run'"),
    ("clusters", "kind", "text NOT NULL DEFAULT 'run'"),
)


def upgrade() -> None:
    for table, column, kind in COLUMNS:
        op.execute(f"ALTER TABLE views.{table} ADD COLUMN {column} {kind}")


def downgrade() -> None:
    for table, column, _ in reversed(COLUMNS):
        op.execute(f"ALTER TABLE views.{table} DROP COLUMN {column}")
