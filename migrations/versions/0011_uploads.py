"""Uploads: media that tenants bring, until a job has used them, and what is still to be removed from the store.

A row outlives its upload: as long as somebody may hold a link that writes below the upload's prefix, the row says what
has to be removed there.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UPLOADS = """
CREATE TABLE registry.uploads (
    upload text PRIMARY KEY CHECK (upload ~ '^u-[0-9a-f]{32}$'),
    tenant text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'ready', 'failed', 'deleted')),
    bytes bigint NOT NULL CHECK (bytes > 0),
    sha256 text NOT NULL,
    part_bytes bigint NOT NULL CHECK (part_bytes > 0),
    parts text NOT NULL,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz CHECK ((ended_at IS NULL) = (state IN ('pending', 'ready'))),
    emptied boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE registry.uploads IS
    'Media that tenants bring. bytes, sha256: as the client says; parts: id of the parts in the object store. ended_at:'
    ' failed or deleted; emptied: its objects are removed since. The row goes once no link to write works any more.';
CREATE INDEX uploads_of_a_tenant ON registry.uploads (tenant, created_at DESC, upload DESC);
CREATE INDEX uploads_that_expire ON registry.uploads (expires_at) WHERE ended_at IS NULL;
CREATE INDEX uploads_that_ended ON registry.uploads (ended_at) WHERE ended_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(UPLOADS)


def downgrade() -> None:
    op.execute("DROP TABLE registry.uploads")
