"""What is set aside: slots that cannot be used, nodes that hold off or are cordoned, pools on hold.

Rows that are there become right by themselves: until rules 4 no ledger says any of this.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE views.nodes ADD COLUMN usable integer NOT NULL DEFAULT 0")
    op.execute("UPDATE views.nodes SET usable = slots")
    op.execute("ALTER TABLE views.nodes ADD COLUMN holding text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE views.nodes ADD COLUMN cordoned text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE views.ledger_positions ADD COLUMN held boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("ALTER TABLE views.ledger_positions DROP COLUMN held")
    for column in ("cordoned", "holding", "usable"):
        op.execute(f"ALTER TABLE views.nodes DROP COLUMN {column}")
