"""What the scheduler's door admits, a real Postgres takes: the longest texts, the largest numbers, and the most of
everything, folded into rows and read again."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from sqlalchemy import Engine

from contract import bounds
from contract.batch import hash_of
from contract.codec import body_of, decode_input, encode
from contract.inputs import (
    AliasMoved,
    JobSubmitted,
    NodeHeartbeat,
    NodeJoined,
    PolicyApplied,
    Requirements,
    VersionPublished,
    Wire,
)
from contract.names import job_id
from contract.policy import CLUSTER_KINDS, fingerprint
from contract.policy import Pool as PolicyPool
from tests.properties.boundaries.largest import (
    ADDRESS,
    ALIAS,
    CLUSTER,
    DIGEST,
    LONG,
    MODEL,
    NODE,
    SESSION,
    TENANT,
    TEXT,
    TIER,
    N,
    largest,
    largest_policy,
)
from tests.unit.scheduling.specification import Pool
from views import projection, queries, receipts
from views.projection import CountedRecord

JOBS = 5


def lived(name: str, kind: str) -> tuple[Pool, list[str]]:
    """A pool in which everything is as large as doors take it. Its nodes run attempts, or prepare media."""
    policy = largest_policy()
    policy = msgspec.structs.replace(
        policy,
        trusted_models=True,
        pools={name: PolicyPool(0)},
        clusters={
            CLUSTER: msgspec.structs.replace(policy.clusters[CLUSTER], pool=name, kind=kind, adaptive=kind == "run")
        },
        tenant_weights=dict(list(policy.tenant_weights.items())[:-2]),
    )
    pool = Pool(policy=None, name=name)
    jobs = [job_id(name, str(number)) for number in range(JOBS)]
    requirements = Requirements(("x" * LONG,), N, N, 1)
    said: list[Wire] = [
        PolicyApplied(policy, fingerprint(policy)),
        VersionPublished(MODEL, DIGEST, requirements, N, prepares=DIGEST if kind == "prepare" else ""),
        AliasMoved(MODEL, ALIAS, DIGEST, N),
        msgspec.structs.replace(
            largest(NodeJoined), cluster=CLUSTER, chipset="x" * LONG, gpus=N, memory_mib=N, address=ADDRESS, kind=kind
        ),
    ]
    for job in jobs:
        submitted = largest(JobSubmitted)
        body = msgspec.structs.replace(
            submitted.submission, job=job, model=f"{MODEL}@{ALIAS}", via="api", submitted_ms=0
        )
        said.append(msgspec.structs.replace(submitted, submission=body))
    said.append(msgspec.structs.replace(largest(NodeHeartbeat), node=NODE, session=SESSION))
    for record in said:
        pool.tell(body_of(decode_input(encode(record))), after_ms=1_000)
    return pool, jobs


@pytest.mark.parametrize("kind", CLUSTER_KINDS)
def test_the_largest_of_everything_is_stored_and_read(engine: Engine, kind: str) -> None:
    name = "p" + uuid.uuid4().hex + "x" * (LONG - 33)
    pool, jobs = lived(name, kind)
    records = [
        CountedRecord(at, 1, hash_of(raw), batch)
        for at, (raw, batch) in enumerate(zip(pool.records, pool.batches, strict=True))
    ]
    with engine.begin() as connection:
        applied = projection.apply_all(connection, name, records)
    assert applied.records == len(records)
    assert applied.omissions == []
    with engine.connect() as connection:
        row = queries.job(connection, TENANT, jobs[0])
        assert row is not None
        assert (row.tenant, row.expires_ms) == (TENANT, bounds.TIME_MS_MAX)
        page = queries.jobs(connection, TENANT, limit=2, model=MODEL)
        assert len(page.jobs) == 2
        assert queries.jobs(connection, TENANT, limit=2, model=MODEL, cursor=page.cursor).jobs
        if kind == "run":
            assert queries.attempts(connection, TENANT, jobs[0])
        else:
            assert (row.state, row.prepare_node, row.prepare_cluster) == ("preparing", NODE, CLUSTER)
        assert queries.job_events(connection, TENANT, jobs[0])
        (policy,) = [view for view in queries.policies(connection) if view.pool == name]
        assert policy.policy == pool.state.policy
        (node,) = [view for view in queries.nodes(connection) if view.pool == name]
        assert (node.node, node.kind) == (NODE, kind)
        (cluster,) = [view for view in queries.clusters(connection) if view.pool == name]
        assert (cluster.cluster, cluster.kind) == (CLUSTER, kind)


def test_the_largest_receipt_is_kept(engine: Engine) -> None:
    job = job_id("p" * LONG, uuid.uuid4().hex)
    canonical = msgspec.json.encode({"model": f"{MODEL}@{DIGEST}", "inputs": "i" * 300_000})
    with engine.begin() as connection:
        receipts.reserve(connection, job, TENANT, canonical)
        receipts.acknowledge(
            connection, job, TENANT, TIER, f"{MODEL}@{DIGEST}", bounds.TIME_MS_MAX, bounds.TIME_MS_MAX, canonical
        )
    with engine.connect() as connection:
        row = queries.job(connection, TENANT, job)
    assert row is not None
    assert row.model == f"{MODEL}@{DIGEST}"
    assert len(TEXT.encode()) == bounds.TEXT_MAX
