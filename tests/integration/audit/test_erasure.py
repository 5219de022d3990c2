"""Words that are erased are gone from the files of every topic and from the store; the history verifies."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from audit.ledger.export import export
from audit.ledger.reader import jobs_of_partition, ledger_of_file, ledger_of_partition
from audit.story import render as told
from audit.story import story
from audit.verify.anchors import anchors_of_views
from audit.verify.jobs_topic import JobsTopic
from audit.verify.verdict import render
from audit.verify.verification import Witnesses, verify
from contract import inputs, orders
from contract.codec import encode
from contract.names import payload_digest
from contract.policy import fingerprint
from contract.signing import RecordSigner
from contract.topics import JOBS, SUBMISSIONS, dispatch_topic
from local.services import Services
from operations.erasure import NothingToErase, erase, words_gone_after_ms
from runtime.kafka import Producer
from runtime.object_store import ObjectStore
from runtime.postgres import engine
from tests.integration.audit.host import Host
from tests.topic_files import words_in
from tests.unit.audit.ledger import POLICY, POOL, SALT, VERSION, job_of
from tests.waiting import until
from views import queries

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture(scope="module")
def producer(servers: Services, host: Host) -> Iterator[Producer]:
    producer = Producer(servers.settings.brokers, "test")
    for body in (
        inputs.PolicyApplied(POLICY, fingerprint(POLICY)),
        inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000),
        inputs.AliasMoved("film", "live", VERSION, 1),
    ):
        say(producer, body)
    yield producer
    producer.close()


def say(producer: Producer, body: inputs.Wire) -> str:
    key = uuid.uuid4().hex
    producer.send_and_wait(JOBS, encode(body), key=key.encode(), partition=0)
    return key


def submit(producer: Producer, number: int, words: str) -> None:
    payload = msgspec.json.encode({"prompt": words})
    body = inputs.Submission(job_of(number), "acme", "free", "film", payload_digest(SALT, payload), "api")
    say(producer, inputs.JobSubmitted(body, msgspec.Raw(payload), SALT))


def topic_files_with(servers: Services, words: str) -> list[str]:
    """Segment files that hold the words. A file that the broker deletes while we look holds nothing any more."""
    found = []
    for path in servers.kafka.log_dir.rglob("*.log*"):
        try:
            if words.encode() in words_in(path):
                found.append(str(path.relative_to(servers.kafka.log_dir)))
        except FileNotFoundError:
            continue
    return found


def erased(servers: Services, number: int):  # type: ignore[no-untyped-def]
    settings = servers.settings
    database = engine(settings)

    def is_known() -> bool:
        with database.connect() as connection:
            return any(view.pool == POOL for view in queries.policies(connection))

    try:
        until(is_known, "the views know the pool")
        return erase(
            job_of(number),
            kafka=settings.brokers,
            signer=RecordSigner(None),
            engine=database,
            store=ObjectStore(settings),
            timeout_s=30,
        )
    finally:
        database.dispose()


def test_words_are_gone_from_every_file_within_the_promised_time(servers: Services, producer: Producer) -> None:
    words = f"walrus{uuid.uuid4().hex}"
    store = ObjectStore(servers.settings)
    submit(producer, 1, words)
    submit(producer, 1, words)
    store.put(f"results/{job_of(1)}/1.2.3/inputs.json", words.encode())
    store.put(f"inputs/{job_of(1)}/1.2.2/source-0", words.encode())
    order = orders.Run(
        "n1",
        "s",
        POOL,
        1,
        job_of(1),
        1,
        "1.2.3",
        "film",
        VERSION,
        1,
        0,
        0,
        "",
        orders.Payload(msgspec.Raw(b'"x"'), SALT),
    )
    producer.send_and_wait(dispatch_topic("east"), encode(order) + words.encode(), partition=0)
    producer.send_and_wait(SUBMISSIONS, words.encode(), partition=0)
    assert len({name.split("-")[0] for name in topic_files_with(servers, words)}) == 3, "this check can fail"

    began_ms = time.time() * 1000
    done = erased(servers, 1)
    assert len(done.offsets) == 2
    assert done.objects == 2
    assert store.list(f"results/{job_of(1)}/") == store.list(f"inputs/{job_of(1)}/") == []
    assert done.gone_by_ms <= began_ms + words_gone_after_ms(POLICY) + 10_000

    stop = threading.Event()
    while topic_files_with(servers, words):
        assert time.time() * 1000 < done.gone_by_ms + 3_000, topic_files_with(servers, words)
        say(producer, inputs.NodeHeartbeat("nobody", "no-session"))  # a pool that is alive is heard of
        stop.wait(0.5)


def test_a_second_erasure_and_one_after_another_copy_find_everything(servers: Services, producer: Producer) -> None:
    submit(producer, 2, "seal")
    first = erased(servers, 2)
    submit(producer, 2, "seal")
    second = erased(servers, 2)
    assert len(first.offsets) == 1
    assert set(first.offsets) < set(second.offsets)


def test_a_job_that_the_views_cannot_read_is_ended_and_erased(servers: Services, producer: Producer) -> None:
    submit(producer, 3, "otter")
    database = engine(servers.settings)
    with database.connect() as connection:
        until(lambda: queries.any_job(connection, job_of(3)), "the job is shown")
    with database.begin() as connection:
        connection.execute(text("UPDATE views.jobs SET state = 'unreadable' WHERE job = :job"), {"job": job_of(3)})
    assert len(erased(servers, 3).offsets) == 1
    with database.connect() as connection:
        row = queries.any_job(connection, job_of(3))
    database.dispose()
    assert row is not None
    assert (row.state, row.erasure, row.ended_ms is None) == ("unreadable", "erased", False)


def test_a_job_that_left_the_views_is_erased_by_its_id(servers: Services, producer: Producer) -> None:
    store = ObjectStore(servers.settings)
    store.put(f"results/{job_of(4)}/1.2.3/inputs.json", b"a seal")
    done = erased(servers, 4)
    assert (done.offsets, done.objects) == ((), 1)
    assert store.list(f"results/{job_of(4)}/") == []


def test_a_job_nobody_submitted_cannot_be_erased(servers: Services, producer: Producer) -> None:
    with pytest.raises(NothingToErase, match="found no submission of it"):
        erased(servers, 77)


def test_the_ledger_is_clean_afterwards_from_kafka_and_from_a_file(
    servers: Services, producer: Producer, tmp_path: Path
) -> None:
    kafka = servers.settings.brokers
    database = engine(servers.settings)
    anchors = anchors_of_views(database, POOL)
    database.dispose()
    source, end = ledger_of_partition(kafka, 0)
    records, kept_from = jobs_of_partition(kafka, 0)
    verdict = verify(
        source, POOL, Witnesses(anchors, JobsTopic(records, kept_from), store=ObjectStore(servers.settings))
    )
    assert verdict.clean, render(verdict)
    assert verdict.records == end > 0
    assert verdict.anchors == ("the views",)

    assert export(source, tmp_path / "ledger.jsonl") == end
    again = verify(ledger_of_file(tmp_path / "ledger.jsonl"), POOL)
    assert again.clean
    assert again.head_hash == verdict.head_hash
    assert "its words were erased" in told(story(job_of(2), source))
