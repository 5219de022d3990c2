"""The read models: schema `views` (views/rows.py names the columns, views/projection.py fills them).

`jobs` has one index beside its key, on columns that never change once the job is accepted, and spare room in each page.
So the three or four updates in the life of a job touch no index (heap-only tuples).
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UP = """
CREATE SCHEMA views;

CREATE TABLE views.ledger_positions (
    pool text PRIMARY KEY,
    "offset" bigint NOT NULL,
    hash text NOT NULL,
    seq bigint NOT NULL,
    epoch bigint NOT NULL,
    at_ms bigint NOT NULL,
    now_ms bigint NOT NULL,
    position bigint NOT NULL,
    session text NOT NULL,
    release text NOT NULL,
    rules integer NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE views.jobs (
    job text PRIMARY KEY,
    pool text NOT NULL,
    tenant text NOT NULL,
    tier text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    state text NOT NULL,
    submitted_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    accepted_ms bigint,
    dispatched_ms bigint,
    started_ms bigint,
    ended_ms bigint,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    failure text NOT NULL,
    reason text NOT NULL,
    result_dispatch text NOT NULL,
    result_manifest text NOT NULL,
    erasure text NOT NULL CHECK (erasure IN ('', 'ordered', 'erased')),
    gone_by_ms bigint
) WITH (fillfactor = 60);
CREATE INDEX jobs_of_tenant ON views.jobs (tenant, submitted_ms, job);

CREATE TABLE views.receipts (
    request text PRIMARY KEY,
    tenant text NOT NULL,
    salt text NOT NULL,
    fingerprint text NOT NULL,
    acked boolean NOT NULL
);

CREATE TABLE views.attempts (
    job text NOT NULL,
    attempt integer NOT NULL,
    pool text NOT NULL,
    dispatch text NOT NULL,
    node text NOT NULL,
    session text NOT NULL,
    cluster text NOT NULL,
    state text NOT NULL CHECK (state IN ('staged', 'running', 'succeeded', 'failed', 'closed')),
    dispatched_ms bigint NOT NULL,
    started_ms bigint,
    ended_ms bigint,
    waited_ms bigint NOT NULL,
    slo_ms bigint NOT NULL,
    next_job text NOT NULL,
    next_waited_ms bigint NOT NULL,
    next_slo_ms bigint NOT NULL,
    "limit" integer NOT NULL,
    staged integer NOT NULL,
    bound text NOT NULL,
    failure text NOT NULL,
    error text NOT NULL,
    closed text NOT NULL,
    counts boolean NOT NULL,
    PRIMARY KEY (job, attempt)
) WITH (fillfactor = 60);

CREATE TABLE views.job_events (
    job text NOT NULL,
    seq bigint NOT NULL,
    index integer NOT NULL,
    pool text NOT NULL,
    at_ms bigint NOT NULL,
    event text NOT NULL,
    state text NOT NULL,
    attempt integer NOT NULL,
    words text NOT NULL,
    PRIMARY KEY (job, seq, index)
);

CREATE TABLE views.job_copies (
    job text NOT NULL,
    "offset" bigint NOT NULL,
    pool text NOT NULL,
    key text NOT NULL,
    PRIMARY KEY (job, "offset")
);

CREATE TABLE views.job_counts (
    pool text NOT NULL,
    tenant text NOT NULL,
    tier text NOT NULL,
    state text NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (pool, tenant, tier, state)
) WITH (fillfactor = 50);

CREATE TABLE views.nodes (
    pool text NOT NULL,
    node text NOT NULL,
    session text NOT NULL,
    cluster text NOT NULL,
    chipset text NOT NULL,
    slots integer NOT NULL,
    gpus integer NOT NULL,
    memory_mib bigint NOT NULL,
    loaded text[] NOT NULL,
    cached text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('ready', 'draining', 'departed', 'lost')),
    joined_ms bigint NOT NULL,
    heard_ms bigint NOT NULL,
    staged bigint NOT NULL DEFAULT 0,
    running bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, node)
) WITH (fillfactor = 50);

CREATE TABLE views.clusters (
    pool text NOT NULL,
    cluster text NOT NULL,
    "limit" integer NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'draining', 'removed')),
    deadline_ms bigint,
    staged bigint NOT NULL DEFAULT 0,
    running bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, cluster)
) WITH (fillfactor = 50);

CREATE TABLE views.policies (
    pool text PRIMARY KEY,
    fingerprint text NOT NULL,
    document jsonb NOT NULL,
    adopted_ms bigint NOT NULL,
    seq bigint NOT NULL
);

CREATE TABLE views.versions (
    pool text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    requirements jsonb NOT NULL,
    timeout_ms bigint NOT NULL,
    registered_ms bigint NOT NULL,
    PRIMARY KEY (pool, model, version)
);

CREATE TABLE views.aliases (
    pool text NOT NULL,
    model text NOT NULL,
    alias text NOT NULL,
    version text NOT NULL,
    move bigint NOT NULL,
    pointed_ms bigint NOT NULL,
    PRIMARY KEY (pool, model, alias)
);

CREATE TABLE views.counters (
    pool text NOT NULL,
    name text NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (pool, name)
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP SCHEMA views CASCADE")
