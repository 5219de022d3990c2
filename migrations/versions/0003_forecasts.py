"""When a job is likely to start: the newest forecast of its wait, in the row of the job."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE views.jobs ADD COLUMN start_p50_ms bigint, ADD COLUMN start_p90_ms bigint")


def downgrade() -> None:
    op.execute("ALTER TABLE views.jobs DROP COLUMN start_p50_ms, DROP COLUMN start_p90_ms")
