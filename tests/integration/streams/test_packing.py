"""What is packed with zstd is read by every reader of ours, also when others packed it; `jobs` is kept unpacked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer as PlainProducer

from audit.ledger.reader import jobs_of_partition, ledger_of_partition
from audit.verify.jobs_topic import JobsTopic
from audit.verify.verification import Witnesses, verify
from contract.codec import encode
from contract.events import JobSucceeded
from contract.topics import JOBS, LEDGER
from local.services import Services
from runtime import postgres
from streams.hosting.unpacking import codec_of, unpacked
from tests.integration.databases import own_database
from tests.integration.streams.pool import Pool
from tests.integration.streams.processes import Processes
from tests.topic_files import batches_in
from tests.waiting import until
from views import projection

ZSTD = 4


def batches_on_disk(servers: Services, topic: str, partition: int) -> Iterator[memoryview]:
    """As the broker keeps them."""
    for path in sorted((servers.kafka.log_dir / f"{topic}-{partition}").glob("*.log")):
        yield from batches_in(path)


@pytest.fixture
def database(pool: Pool) -> Iterator[str]:
    with own_database(pool.settings, "packing") as own:
        yield own.database_url


def is_at_the_end(database_url: str, pool: Pool) -> bool:
    engine = postgres.engine(pool.settings.model_copy(update={"database_url": database_url}))
    with engine.connect() as connection:
        at = projection.position(connection, pool.name)
    engine.dispose()
    return at is not None and at.offset >= pool.state().head_offset


def test_a_packed_ledger_is_read_by_every_reader_and_jobs_lies_unpacked(
    servers: Services, pool: Pool, processes: Processes, database: str
) -> None:
    settings = pool.settings
    processes.start("scheduler", f"scheduler-{uuid.uuid4().hex[:6]}")
    processes.start("projector", f"projector-{uuid.uuid4().hex[:6]}", database_url=database)
    pool.setup()
    pool.join()
    pool.submit(3)
    others = {
        codec: PlainProducer({"bootstrap.servers": settings.kafka, "compression.type": codec, "linger.ms": 50})
        for codec in ("zstd", "gzip", "lz4", "snappy")
    }
    for other in others.values():  # an outsider packs several records together
        for _ in range(3):
            record = pool.submission()
            pool.jobs.append(record.submission.job)
            other.produce(JOBS, encode(record), key=uuid.uuid4().hex, partition=pool.partition)
        other.flush()

    def all_done() -> bool:
        pool.work()
        return set(pool.count(JobSucceeded)) == set(pool.jobs)

    until(all_done, "every job has run")
    old = [record.value for record in pool.records()][-3:]
    for value in old:  # copies, which do not count
        others["zstd"].produce(LEDGER, value, partition=pool.partition)
    others["zstd"].flush()
    pool.submit(1)
    until(all_done, "the pool goes on behind another's batch")
    until(lambda: is_at_the_end(database, pool), "the views are at the ledger's end")

    assert ZSTD in {codec_of(raw) for raw in batches_on_disk(servers, LEDGER, pool.partition)}
    assert {codec_of(raw) for raw in batches_on_disk(servers, JOBS, pool.partition)} == {0}
    whole = sum(len(unpacked(raw)) for raw in batches_on_disk(servers, LEDGER, pool.partition))
    assert sum(len(raw) for raw in batches_on_disk(servers, LEDGER, pool.partition)) < whole

    source, _ = ledger_of_partition(settings.brokers, pool.partition)
    records, kept_from = jobs_of_partition(settings.brokers, pool.partition)
    verdict = verify(source, pool.name, Witnesses(jobs_topic=JobsTopic(records, kept_from)))
    assert verdict.clean, verdict.findings
    assert verdict.ignored >= len(old)
