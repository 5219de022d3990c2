"""Who asked: of what happens to a job, of the policy in force, holds, drains, cordons and withdrawals.

What was folded before has nothing there: fold a pool's views again (docs/runbook.md) to see who asked since rules 5.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = (
    ("job_events", "actor"),
    ("policies", "actor"),
    ("withdrawals", "actor"),
    ("clusters", "actor"),
    ("nodes", "cordoned_by"),
    ("ledger_positions", "held_by"),
)


def upgrade() -> None:
    for table, column in COLUMNS:
        op.execute(f"ALTER TABLE views.{table} ADD COLUMN {column} text NOT NULL DEFAULT ''")


def downgrade() -> None:
    for table, column in reversed(COLUMNS):
        op.execute(f"ALTER TABLE views.{table} DROP COLUMN {column}")
