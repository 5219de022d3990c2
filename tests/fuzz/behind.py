"""Everything that stands behind the scheduler's door, in memory: judge and decide, the ledger's record, the snapshot,
the orders and the nodes that read them, the views, the auditors, and the documents of the API."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from api import bodies
from audit.as_of import as_of
from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobsRecord, JobUnknown, LedgerRecord, key_text
from audit.story import render as told
from audit.story import story
from audit.verify.jobs_topic import JobsTopic
from audit.verify.verdict import render
from audit.verify.verification import Witnesses, verify
from audit.waits.sentences import explained
from audit.waits.slo import attainment
from audit.waits.starts import starts
from audit.waits.why import why
from contract.batch import BATCH_BYTES_MAX
from contract.codec import TYPE_PREFIX, decode_batch, encode, headers_for
from contract.events import Event, JobAccepted, JobPreparing, JobRefused
from contract.inputs import Body, Input, NodeJoined, Submission
from runtime.kafka import Record
from runtime.worker.order_door import orders_of
from scheduling import invariants, snapshot
from streams.door import jobs_door
from streams.door.jobs_door import CheckedInput
from streams.door.signatures import Signatures
from tests.fuzz.records import MODELS, REQUIREMENTS
from tests.properties.views import watched
from tests.unit.scheduling.specification import Pool
from tests.unit.views.tables import Tables
from views import columns
from views.queries import PolicyView
from whatif.recorded import LedgerEmpty, recorded


class Behind:
    """One pool with its models and a node, and all who read what it writes."""

    def __init__(self) -> None:
        self.pool = _KeyedPool(check=False)
        for model in MODELS:
            self.pool.publish(model, REQUIREMENTS[model])
        self.pool.tell(NodeJoined("n1", "s1", "east", "cpu", 2, 0, 4_096))
        self._kept_from = self.pool.offset
        self._topic: list[JobsRecord] = []

    def take(
        self, value: bytes | None, key: bytes | None = b"k", headers: Iterable[tuple[str, bytes | None]] = ()
    ) -> str:
        """Offers a record of `jobs`. Returns why it was refused; empty: it was taken."""
        at_ms = self.pool.now_ms + 700
        record = Record("jobs", 0, self.pool.offset, at_ms, key, value, list(headers))  # type: ignore[arg-type]
        checked = jobs_door.read(record, Signatures(None, 0))
        assert "no check foresaw" not in checked.refusal, checked.refusal
        self.judge(record, checked)
        return checked.refusal

    def judge(self, record: Record, checked: CheckedInput) -> None:
        pool = self.pool
        if record.value:
            self._topic.append(JobsRecord(record.offset, record.timestamp_ms, key_text(record.key), record.value))
        pool.key = checked.given.key
        pool.tell(checked.given.body, after_ms=700)
        for order in pool.orders():
            raw = encode(order)
            refused: list[str] = []
            assert orders_of(raw, order.node, refused.append) == [order], refused  # a node takes what it is ordered
            names = dict(headers_for(order, "1.2.3", "headrace/scheduler"))
            assert names["ce_type"].decode().startswith(TYPE_PREFIX)

    def read_by_all(self) -> None:
        """Every reader reads the whole ledger, and all of them take it."""
        pool = self.pool
        assert invariants.check(pool.state) == []
        state = snapshot.encode(pool.state)
        assert state == snapshot.encode(pool.reader)
        assert snapshot.encode(snapshot.decode(state)) == state
        for record in pool.records:
            assert len(record) <= BATCH_BYTES_MAX
            assert encode(decode_batch(record)) == record
        self._viewed()
        self._audited()

    def _viewed(self) -> None:
        tables = Tables(self.pool.name)
        tables.take(enumerate(self.pool.batches))  # asserts that each row fits its columns
        assert not tables.omissions
        watched.check_counts(tables, self.pool.state)
        watched.check_attempts(tables, self.pool.state)
        for job in tables.jobs.values():
            attempts = [row for (name, _), row in tables.attempts.items() if name == job.job]
            body = bodies.JobDetail(bodies.JobBody.of(job), [bodies.AttemptBody.of(row) for row in attempts], None)
            again(body)
        for event in tables.events.values():
            again(bodies.JobEvent.of(event, "key_1"))
        if self.pool.state.policy is not None:
            again(PolicyView(self.pool.name, self.pool.state.fingerprint, 0, self.pool.state.policy))
        for rows in (tables.nodes, tables.clusters, tables.versions, tables.aliases):
            for row in rows.values():
                assert not columns.misfit(row)

    def _audited(self) -> None:
        records = [LedgerRecord(at, self.pool.batches[at].now_ms, raw) for at, raw in enumerate(self.pool.records)]
        topic = JobsTopic(self._topic, self._kept_from)
        verdict = verify(lambda: iter(records), self.pool.name, Witnesses(jobs_topic=topic))
        assert verdict.clean, render(verdict)
        past = LedgerPast(self.pool.name, lambda first: iter(records[first:]))
        again(as_of(past, self.pool.now_ms, self.pool.now_ms))
        attainment(starts(past), "tier")
        with suppress(LedgerEmpty):
            recorded(past)
        for job in self._accepted():
            assert told(story(job, lambda: iter(records)))
            try:
                wait = why(job, past, now_ms=self.pool.now_ms)
            except JobUnknown:
                assert self._refused_last(job)
                continue
            for operator in (True, False):
                again(explained(wait, operator=operator))

    def _accepted(self) -> list[str]:
        return sorted({event.job for event in self._events() if isinstance(event, JobAccepted | JobPreparing)})

    def _refused_last(self, job: str) -> bool:
        """The newest life of the id never waited."""
        kinds = JobAccepted | JobPreparing | JobRefused
        begun = [event for event in self._events() if isinstance(event, kinds) and event.job == job]
        return isinstance(begun[-1], JobRefused)

    def _events(self) -> list[Event]:
        return [event for batch in self.pool.batches for event in batch.events]


class _KeyedPool(Pool):
    """A pool whose submissions have the keys of their records."""

    key = ""

    def _input(self, body: Body) -> Input:
        made = super()._input(body)
        return msgspec.structs.replace(made, key=self.key) if isinstance(body, Submission) else made


def again(document: msgspec.Struct) -> None:
    """The document as JSON that any client reads."""
    raw = msgspec.json.encode(document)
    assert "\0" not in raw.decode()
    assert msgspec.json.decode(raw) is not None
