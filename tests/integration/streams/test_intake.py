"""The public door for Kafka producers: what is a job gets into `jobs`, the rest into `quarantine`, nothing is lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer as LibraryProducer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from contract.codec import decode_quarantined, encode
from contract.names import job_id_of_event, payload_digest
from contract.side_topics import Quarantined, SubmissionRequested
from contract.signing import RecordSigner
from contract.topics import JOBS, QUARANTINE, SUBMISSIONS
from registry import publishing, relay
from runtime import postgres
from runtime.kafka import Producer, offsets, read_range
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from streams.door import intake_positions
from streams.door.intake_positions import IntakePosition
from streams.door.resubmission import CannotResubmit, resubmit
from streams.door.skips import SKIPPED, CannotSkip, order_skip
from tests.integration.streams.pool import WORDS, Pool, commit, committed, event_headers
from tests.integration.streams.processes import Processes
from tests.integration.streams.raw import produce
from tests.unit.registry.samples import MODEL_YAML, write_model
from tests.unit.streams.batches import AnyName, batch
from tests.waiting import until


class Door:
    """`submissions`, as an upstream product uses it."""

    def __init__(self, settings: Settings, producer: Producer, pool: Pool, model: str) -> None:
        self.settings, self._producer, self._pool, self.model = settings, producer, pool, model
        self.partition = pool.partition % 4
        self.group = f"intake-{pool.name}"
        """Of this test's own: for 6 s the broker counts a process that was killed as a member, and the next process
        of the same group would wait for that."""

    def request(self, **changes: object) -> SubmissionRequested:
        inputs = msgspec.Raw(msgspec.json.encode({"prompt": WORDS}))
        return msgspec.structs.replace(SubmissionRequested("acme", "free", self.model, inputs), **changes)

    def send(
        self,
        value: bytes | None,
        event_id: str = "",
        key: bytes = b"acme",
        headers: list[tuple[str, bytes]] | None = None,
    ) -> int:
        """The offset of the record."""
        given = event_headers(event_id or uuid.uuid4().hex) if headers is None else headers
        sent = self._producer.send_and_wait(SUBMISSIONS, value, key=key, headers=given, partition=self.partition)
        return sent.offset

    def submit(self, number: int) -> list[str]:
        """Valid ones; their jobs."""
        ids = [uuid.uuid4().hex for _ in range(number)]
        for event_id in ids:
            self.send(encode(self.request()), event_id)
        return [job_id_of_event(self._pool.name, "acme", "test", event_id) for event_id in ids]

    def compressed(self, codec: str, value: bytes, event_id: str) -> None:
        """In a batch that was compressed by its producer."""
        producer = LibraryProducer({"bootstrap.servers": self.settings.kafka, "compression.type": codec})
        padding: list[tuple[str, str | bytes | None]] = [("padding", b"x" * 5_000), *event_headers(event_id)]
        producer.produce(SUBMISSIONS, value, key=b"acme", headers=padding, partition=self.partition)
        assert producer.flush(30) == 0

    def transactional(self) -> LibraryProducer:
        """An upstream that writes in transactions."""
        producer = LibraryProducer({"bootstrap.servers": self.settings.kafka, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(30)
        return producer

    def in_transaction(self, producer: LibraryProducer) -> str:
        """One submission in its transaction; the job."""
        event_id = uuid.uuid4().hex
        headers: list[tuple[str, str | bytes | None]] = [*event_headers(event_id)]
        value = encode(self.request())
        producer.produce(SUBMISSIONS, value, key=b"acme", headers=headers, partition=self.partition)
        return job_id_of_event(self._pool.name, "acme", "test", event_id)

    def passed_on(self) -> list[str]:
        return [record.submission.job for record in self._pool.submitted()]


@pytest.fixture
def door(pool: Pool, tmp_path: Path) -> Iterator[Door]:
    """With a model of this test's own, bound to the test's pool."""
    model = f"echo-{pool.name}"
    engine, producer = postgres.engine(pool.settings), Producer(pool.settings.brokers, "upstream")
    directory = write_model(tmp_path / "model", yaml=MODEL_YAML.replace("name: echo", f"name: {model}"))
    publishing.publish(
        directory, engine=engine, store=ObjectStore(pool.settings), who="test", pool=pool.name, alias="live"
    )
    stop = threading.Event()
    relaying = threading.Thread(target=relay.Relay(engine, producer, RecordSigner(None)).run, args=(stop,))
    relaying.start()
    yield Door(pool.settings, producer, pool, model)
    stop.set()
    relaying.join()
    producer.close()
    engine.dispose()


def test_a_submission_becomes_a_job(door: Door, pool: Pool, processes: Processes) -> None:
    intake = processes.start("intake", door.group)
    (job,) = door.submit(1)
    until(lambda: bool(door.passed_on()), "the job is in `jobs`")
    (record,) = pool.submitted()
    submission = record.submission
    assert (submission.job, submission.tenant, submission.tier, submission.via) == (job, "acme", "free", "kafka")
    assert submission.submitted_ms > 1_600_000_000_000
    assert submission.digest == payload_digest(record.salt, bytes(record.inputs))
    assert intake.terminate() == 0
    assert WORDS not in intake.log.read_text()


def test_what_is_no_job_is_set_aside_and_the_stream_goes_on(door: Door, pool: Pool, processes: Processes) -> None:
    intake = processes.start("intake", door.group)
    good = encode(door.request())
    raw = msgspec.Raw
    bad = {
        door.send(b"not JSON: " + WORDS.encode()): "not JSON",
        door.send(good.replace(b"SubmissionRequested.v1", b"SubmissionRequested.v9")): "unknown record type",
        door.send(good.replace(b'"tier"', b'"mood":1,"tier"')): "unknown field",
        door.send(None): "empty",
        door.send(encode(door.request(inputs=raw(msgspec.json.encode({"prompt": "x" * 262_144}))))): "at most",
        door.send(good, headers=[]): "ce_source",
        door.send(good, headers=[("ce_source", b"x")]): "ce_id",
        door.send(good, key=b"other"): "key",
        door.send(encode(door.request(model="nobody"))): "none has this name",
        door.send(encode(door.request(model=door.model + "@nowhere"))): "no such alias",
        door.send(encode(door.request(model=door.model + "@sha256:" + "0" * 64))): "no such version",
        door.send(encode(door.request(model="not a model!"))): "model: expected",
        door.send(encode(door.request(tier="Not A Tier"))): "tier",
        door.send(encode(door.request(inputs=raw(b'{"prompt": 7}')))): "schema",
        door.send(encode(door.request(inputs=raw(msgspec.json.encode({"prompt": WORDS * 4}))))): "maxLength",
    }
    jobs = door.submit(1)
    until(lambda: door.passed_on() == jobs, "the good one is passed on")
    reasons = {r.offset: r.reason for r in _set_aside(pool, door) if r.offset in bad}
    assert {offset: words for offset, words in bad.items() if words not in reasons.get(offset, "")} == {}
    assert all(WORDS not in reason for reason in reasons.values())
    assert WORDS not in intake.log.read_text()


def test_whatever_a_broker_takes_is_taken_or_set_aside_once_and_others_run(
    door: Door, pool: Pool, processes: Processes
) -> None:
    """In one process that is never started anew: bytes that JSON's readers break on, headers that Kafka's do."""
    intake = processes.start("intake", door.group)
    good = encode(door.request())

    def broken(inputs: bytes) -> bytes:
        return encode(door.request(inputs=msgspec.Raw(b"[]"))).replace(b"[]", inputs)

    def raw(*records: tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]], **how: object) -> int:
        given = batch(0, records, **how)  # type: ignore[arg-type]
        return produce(pool.settings.kafka, SUBMISSIONS, door.partition, given)

    refused = [
        door.send(broken(b'{"prompt":1e999}')),
        door.send(broken(b'{"prompt":"x","n":' + b"9" * 5_000 + b"}")),
        door.send(broken(b'{"prompt":"\xc3\x28"}')),
        door.send(broken(b'{"prompt":"\\ud800"}')),
        door.send(broken(b'{"prompt":"\\u0000"}')),
        door.send(broken(b'{"prompt":' + b"[" * 5_000 + b"]" * 5_000 + b"}")),
        door.send(encode(door.request(expires_ms=2**63))),
        door.send(encode(door.request(expires_ms=10**15))),
        door.send(good, headers=[("ce_source", b"x"), ("ce_id", None)]),  # type: ignore[list-item]
        raw((None, good, [])),
        raw((b"acme", b"", [])),
        raw((b"acme", b"v", []), (b"acme", b"v", []), places=(2**31 - 1, 1)),
    ]
    taken = [uuid.uuid4().hex for _ in range(4)]
    nothing: list[tuple[str, bytes | None]] = [("traceparent", None), ("traceparent", None), ("x" * 200, b"y" * 50_000)]
    door.send(good, headers=[*nothing, *event_headers(taken[0])])  # type: ignore[list-item]
    raw((b"acme", good, [(AnyName.of(b"\xff\xfe"), b"?"), *event_headers(taken[1])]))
    door.compressed("zstd", good, taken[2])
    door.compressed("snappy", good, taken[3])
    jobs = [job_id_of_event(pool.name, "acme", "test", event_id) for event_id in taken] + door.submit(3)

    until(lambda: set(door.passed_on()) == set(jobs), "what is good is passed on")
    assert intake.process.poll() is None
    until(lambda: {r.offset for r in _set_aside(pool, door)} >= set(refused), "what is not is set aside")
    records = [record for record in _set_aside(pool, door) if record.offset >= refused[0]]
    assert sorted(record.offset for record in records) == sorted(refused)
    assert all(record.reason.startswith(("expected", "model: ", "inputs: ", "a submission: ")) for record in records)
    log = intake.log.read_text()
    assert WORDS not in log
    assert f'"offset": {refused[0]}' in log
    assert "Traceback" not in log


def test_only_what_is_committed_runs_and_markers_cost_nothing(door: Door, pool: Pool, processes: Processes) -> None:
    intake = processes.start("intake", door.group)
    door.submit(1)
    until(lambda: len(door.passed_on()) == 1, "it reads")
    upstream = door.transactional()
    upstream.begin_transaction()
    aborted = [door.in_transaction(upstream) for _ in range(5)]
    upstream.flush()
    upstream.abort_transaction()
    began_s = time.monotonic()
    expected = set(door.passed_on())
    for _ in range(150):
        upstream.begin_transaction()
        expected.add(door.in_transaction(upstream))
        upstream.commit_transaction()
    wrote_s = time.monotonic() - began_s
    upstream.begin_transaction()
    late = door.in_transaction(upstream)
    upstream.flush()
    behind = door.submit(1)

    began_s = time.monotonic()
    until(lambda: set(door.passed_on()) == expected, "what was committed is passed on")
    assert time.monotonic() - began_s < 2 * wrote_s + 10
    assert not set(door.passed_on()) & {*aborted, late, *behind}, "an open transaction holds back what is behind it"
    upstream.commit_transaction()
    until(lambda: set(door.passed_on()) == {*expected, late, *behind}, "and no longer")
    upstream.begin_transaction()
    door.in_transaction(upstream)
    upstream.flush()
    upstream.abort_transaction()

    _, end = offsets(pool.settings.brokers, SUBMISSIONS, door.partition)
    positions = intake_positions.IntakePositions(ObjectStore(pool.settings), pool.settings.brokers)
    until(lambda: positions.place(door.partition).offset == end, "its place is behind the last marker")
    until(lambda: committed(pool.settings, door.group, SUBMISSIONS, door.partition) == end, "the group has no lag")
    assert len(door.passed_on()) == len(set(door.passed_on()))
    said = [line for line in intake.log.read_text().splitlines() if f'"partition": {door.partition}' in line]
    assert said
    assert not any("expired" in line or "warning" in line for line in said)


@contextmanager
def at_most(pool: Pool, topic: str, size: int) -> Iterator[None]:
    """The topic takes no larger batch meanwhile."""
    admin = AdminClient({"bootstrap.servers": pool.settings.kafka})

    def alter(value: str | None) -> None:
        kind = AlterConfigOpType.SET if value else AlterConfigOpType.DELETE
        entry = ConfigEntry("max.message.bytes", value or "", incremental_operation=kind)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(30)

    (config,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    before = config.result(30)["max.message.bytes"].value
    alter(str(size))
    try:
        yield
    finally:
        alter(before)


@pytest.mark.parametrize("payload_max", [1, 1_024])
def test_what_was_refused_fits_topics_of_the_smallest_payload_max_of_an_older_release(
    door: Door, pool: Pool, processes: Processes, payload_max: int
) -> None:
    intake = processes.start("intake", door.group)
    with at_most(pool, QUARANTINE, payload_max + 64 * 1024):
        offset = door.send(b"x" * 60_000)
        jobs = door.submit(1)
        until(lambda: door.passed_on() == jobs, "the good one behind it is passed on")
        (record,) = [record for record in _set_aside(pool, door) if record.offset == offset]
    assert record.value_bytes == 60_000
    assert intake.process.poll() is None


def test_what_jobs_refuses_for_its_size_is_set_aside(door: Door, pool: Pool, processes: Processes) -> None:
    intake = processes.start("intake", door.group)
    with at_most(pool, JOBS, 20_000):
        offset = door.send(encode(door.request(inputs=msgspec.Raw(b'{"prompt":"x","more":"%s"}' % (b"y" * 30_000)))))
        jobs = door.submit(1)
        until(lambda: door.passed_on() == jobs, "the good one behind it is passed on")
    (record,) = [record for record in _set_aside(pool, door) if record.offset == offset]
    assert "too large" in record.reason
    assert intake.process.poll() is None


def test_an_operator_skips_what_waits_and_sends_it_again(door: Door, pool: Pool, processes: Processes) -> None:
    nowhere = processes.start("intake", door.group, database_url="postgresql+psycopg://postgres@127.0.0.1:1/none")
    (job,) = door.submit(1)
    _, end = offsets(pool.settings.brokers, SUBMISSIONS, door.partition)
    positions = intake_positions.IntakePositions(ObjectStore(pool.settings), pool.settings.brokers)
    until(lambda: "registry" in positions.place(door.partition).waits_for, "its place says what it waits for")
    assert positions.place(door.partition).offset == end - 1
    order_skip(pool.settings, door.partition, end - 1)
    until(lambda: SKIPPED in [r.reason for r in _set_aside(pool, door) if r.offset == end - 1], "it is skipped")
    until(lambda: positions.place(door.partition) == IntakePosition(end), "nothing waits any more")
    with pytest.raises(CannotSkip, match="has not passed"):
        order_skip(pool.settings, door.partition, end - 1)
    with pytest.raises(CannotSkip, match=f"where partition {door.partition} of `submissions` ends"):
        order_skip(pool.settings, door.partition, end)
    with pytest.raises(CannotSkip, match="partition from 0 to 3"):
        order_skip(pool.settings, 4, 0)
    assert door.passed_on() == []
    assert f'"offset": {end - 1}' in nowhere.log.read_text()
    nowhere.kill()

    processes.start("intake", f"{door.group}-again")
    producer = Producer(pool.settings.brokers, "operator")
    resubmit(pool.settings, producer, door.partition, end - 1)
    with pytest.raises(CannotResubmit):
        resubmit(pool.settings, producer, door.partition, end + 1_000)
    producer.close()
    until(lambda: door.passed_on() == [job], "the copy is the same job")


def _set_aside(pool: Pool, door: Door) -> list[Quarantined]:
    low, high = offsets(pool.settings.brokers, QUARANTINE, 0)
    found = [decode_quarantined(r.value) for r in read_range(pool.settings.brokers, QUARANTINE, 0, low, high)]
    return [record for record in found if record.topic == SUBMISSIONS and record.partition == door.partition]


@pytest.mark.parametrize("where", ["end", "beginning"])
def test_kill_9_and_moved_group_offsets_lose_nothing(door: Door, pool: Pool, processes: Processes, where: str) -> None:
    intake = processes.start("intake", door.group)
    jobs = set(door.submit(5))
    until(lambda: set(door.passed_on()) == jobs, "the first are passed on")
    intake.kill()
    jobs |= set(door.submit(5))
    low, high = offsets(pool.settings.brokers, SUBMISSIONS, door.partition)
    target = high if where == "end" else low

    def moved() -> bool:
        try:
            commit(pool.settings, door.group, SUBMISSIONS, door.partition, target)
        except Exception:
            return False
        return True

    until(moved, "the offset is set")
    processes.start("intake", door.group)
    until(lambda: set(door.passed_on()) == jobs, "all are passed on")


def test_positions_are_read_back_and_one_of_another_topic_is_not_used(pool: Pool) -> None:
    store = ObjectStore(pool.settings)
    positions = intake_positions.IntakePositions(store, pool.settings.brokers)
    low, high = offsets(pool.settings.brokers, SUBMISSIONS, 3)
    positions.write(3, IntakePosition(high))
    assert positions.read(3) == high
    positions.write(3, IntakePosition(high + 1))
    assert positions.read(3) == low
    store.put(f"positions/intake/{SUBMISSIONS}/3", b"{")
    assert positions.read(3) == low
