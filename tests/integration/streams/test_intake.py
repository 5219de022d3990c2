"""The public door for Kafka producers: what is a job gets into `jobs`, the rest into `quarantine`, nothing is lost."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contract.codec import decode_quarantined, encode
from contract.doors import Quarantined, SubmissionRequested
from contract.names import job_id_of_event, payload_digest
from contract.topics import QUARANTINE, SUBMISSIONS
from registry import publishing, relay
from runtime import postgres
from runtime.kafka import Producer, offsets, read_range
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from streams import intake_positions
from streams.intake_positions import IntakePosition
from tests.integration.streams.pool import WORDS, Pool, commit, event_headers
from tests.integration.streams.processes import Processes
from tests.unit.registry.samples import MODEL_YAML, write_model
from tests.waiting import until

GROUP = "headrace-intake"


class Door:
    """`submissions`, as an upstream product uses it."""

    def __init__(self, settings: Settings, producer: Producer, pool: Pool, model: str) -> None:
        self.settings, self._producer, self._pool, self.model = settings, producer, pool, model
        self.partition = pool.partition % 4

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

    def passed_on(self) -> list[str]:
        return [record.submission.job for record in self._pool.submitted()]


@pytest.fixture
def door(pool: Pool, tmp_path: Path) -> Iterator[Door]:
    """With a model of this test's own, bound to the test's pool."""
    model = f"echo-{pool.name}"
    engine, producer = postgres.engine(pool.settings), Producer(pool.settings.kafka, "upstream")
    directory = write_model(tmp_path / "model", yaml=MODEL_YAML.replace("name: echo", f"name: {model}"))
    publishing.publish(
        directory, engine=engine, store=ObjectStore(pool.settings), who="test", pool=pool.name, alias="live"
    )
    stop = threading.Event()
    relaying = threading.Thread(target=relay.Relay(engine, producer).run, args=(stop,))
    relaying.start()
    yield Door(pool.settings, producer, pool, model)
    stop.set()
    relaying.join()
    producer.close()
    engine.dispose()


def test_a_submission_becomes_a_job(door: Door, pool: Pool, processes: Processes) -> None:
    intake = processes.start("intake", GROUP)
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
    intake = processes.start("intake", GROUP)
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


def _set_aside(pool: Pool, door: Door) -> list[Quarantined]:
    low, high = offsets(pool.settings.kafka, QUARANTINE, 0)
    found = [decode_quarantined(r.value) for r in read_range(pool.settings.kafka, QUARANTINE, 0, low, high)]
    return [record for record in found if record.topic == SUBMISSIONS and record.partition == door.partition]


@pytest.mark.parametrize("where", ["end", "beginning"])
def test_kill_9_and_moved_group_offsets_lose_nothing(door: Door, pool: Pool, processes: Processes, where: str) -> None:
    intake = processes.start("intake", GROUP)
    jobs = set(door.submit(5))
    until(lambda: set(door.passed_on()) == jobs, "the first are passed on")
    intake.kill()
    jobs |= set(door.submit(5))
    low, high = offsets(pool.settings.kafka, SUBMISSIONS, door.partition)
    target = high if where == "end" else low

    def moved() -> bool:
        try:
            commit(pool.settings, GROUP, SUBMISSIONS, door.partition, target)
        except Exception:
            return False
        return True

    until(moved, "the offset is set")
    processes.start("intake", GROUP)
    until(lambda: set(door.passed_on()) == jobs, "all are passed on")


def test_positions_are_read_back_and_one_of_another_topic_is_not_used(pool: Pool) -> None:
    store = ObjectStore(pool.settings)
    positions = intake_positions.IntakePositions(store, pool.settings.kafka)
    low, high = offsets(pool.settings.kafka, SUBMISSIONS, 3)
    positions.write(3, IntakePosition(high))
    assert positions.read(3) == high
    positions.write(3, IntakePosition(high + 1))
    assert positions.read(3) == low
    store.put(f"positions/intake/{SUBMISSIONS}/3", b"{")
    assert positions.read(3) == low
