"""Who sends to a stack while the cases run: one whose records are refused, and one whose jobs must all succeed."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from cli.api_client import ApiClient
from contract import access
from contract.chain import Chain, Counted
from contract.codec import decode_quarantined
from contract.lifecycle import ENDINGS
from contract.names import job_id_of_event
from contract.topics import LEDGER, QUARANTINE, SUBMISSIONS
from local import stack
from runtime.kafka import Producer, Record, offsets, read_range
from runtime.kafka_credentials import Brokers
from tests.system.installation import Installation
from tests.waiting import until

SOURCE = "cases"
WITHIN_S = 60.0
"""For what must happen within seconds, on a machine with other work."""


class Feeder:
    """Writes to `submissions` as any upstream product does, and remembers where its records went."""

    def __init__(self, here: Installation) -> None:
        self.kafka = stack.settings(here.data).brokers
        self._producer = Producer(stack.brokers(here.data, access.PRODUCER), "upstream")
        self.places: dict[tuple[int, int], str] = {}
        """(partition, offset) of records that must be refused: what they are."""

    def send(self, what: str, value: bytes | None, key: bytes | None = b"bad", event: str = "") -> tuple[int, int]:
        """A record that no door takes; where it went."""
        headers = [("ce_id", (event or uuid.uuid4().hex).encode()), ("ce_source", SOURCE.encode())]
        delivery = self._producer.send_and_wait(SUBMISSIONS, value, key=key, headers=headers)
        place = (delivery.partition, delivery.offset)
        self.places[place] = what
        return place

    def send_until_refused(self, what: str, value: bytes) -> None:
        """A record that no door takes once intake has heard of the policy in force: those before it run as jobs."""

        def refused() -> bool:
            event = uuid.uuid4().hex
            place, job = self.send(what, value, event=event), job_id_of_event("main", "bad", SOURCE, event)
            until(
                lambda: quarantined(self.kafka)[SUBMISSIONS, *place] or job in ended(self.kafka),
                f"{what}: refused, or run",
                WITHIN_S,
            )
            if job in ended(self.kafka):
                del self.places[place]
            return place in self.places

        until(refused, f"{what}: refused", WITHIN_S)

    def job(self, tenant: str, model: str = "noop", inputs: bytes = b"{}", number: str = "") -> str:
        """A job by Kafka; its id."""
        event = number or uuid.uuid4().hex
        value = b'{"type":"SubmissionRequested.v1","tenant":"%s","tier":"api","model":"%s","inputs":%s}'
        self._producer.send_and_wait(
            SUBMISSIONS,
            value % (tenant.encode(), model.encode(), inputs),
            key=tenant.encode(),
            headers=[("ce_id", event.encode()), ("ce_source", SOURCE.encode())],
        )
        return job_id_of_event("main", tenant, SOURCE, event)

    def close(self) -> None:
        self._producer.close()


class GoodTenant:
    """Submits a job every now and then, by HTTP and by Kafka in turn, all the while."""

    def __init__(self, here: Installation) -> None:
        self.jobs: list[str] = []
        self.failures: list[str] = []
        self._here, self._feeder = here, Feeder(here)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._feeder.close()

    def _work(self) -> None:
        with self._here.api() as client:
            while not self._over.wait(0.25):
                try:
                    if len(self.jobs) % 2:
                        self.jobs.append(self._feeder.job("good"))
                    else:
                        self.jobs.append(submit(client, "noop", {}))
                except Exception as failure:
                    self.failures.append(repr(failure))


@contextmanager
def good_jobs(here: Installation) -> Iterator[GoodTenant]:
    tenant = GoodTenant(here)
    try:
        yield tenant
    finally:
        tenant.stop()


def submission(inputs: bytes, tenant: bytes = b"bad", more: bytes = b"") -> bytes:
    return b'{"type":"SubmissionRequested.v1","tenant":"%s","tier":"api","model":"noop","inputs":%s%s}' % (
        tenant,
        inputs,
        more,
    )


def submit(client: ApiClient, model: str, inputs: dict[str, Any]) -> str:
    """A job of the stack's own tenant; its id."""
    job: str = client.post("/v1/jobs", {"model": model, "inputs": inputs, "tier": "api"})["job"]
    return job


def quarantined(kafka: Brokers) -> Counter[tuple[str, int, int]]:
    """How often each place stands in `quarantine`; every reason is a sentence without the sender's words."""
    found: Counter[tuple[str, int, int]] = Counter()
    for record in _all_of(kafka, QUARANTINE, 0):
        said = decode_quarantined(record.value)
        found[said.topic, said.partition, said.offset] += 1
        assert said.reason.isprintable()
        assert "SECRET" not in said.reason
    return found


def ended(kafka: Brokers) -> dict[str, str]:
    """The event that ended each job, by the ledger of pool main."""
    chain = Chain("main")
    found: dict[str, str] = {}
    for record in _all_of(kafka, LEDGER, 0):
        judged = chain.offer(record.offset, record.value or b"")
        if isinstance(judged, Counted):
            events = [event for event in judged.batch.events if type(event).__name__ in ENDINGS]
            found |= {msgspec.structs.asdict(event)["job"]: type(event).__name__ for event in events}
    return found


def _all_of(kafka: Brokers, topic: str, partition: int) -> list[Record]:
    return list(read_range(kafka, topic, partition, *offsets(kafka, topic, partition)))
