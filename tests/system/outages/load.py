"""Jobs at a pace, whatever is answered: over HTTP by many clients, so that one that waits holds up no other, and over
Kafka by one producer."""

from __future__ import annotations

import collections
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import httpx

from local import stack
from runtime.kafka import DeliveryUnclear
from tests.system.installation import Installation
from tests.system.senders import Feeder
from tests.waiting import until

PER_S, FED_PER_S = 5.0, 5.0
"""Jobs over HTTP and over Kafka."""
CLIENTS = 60
"""Of the API: with Postgres away each waits 12 s for an answer (decision 0023), and yet five come in a second."""
TAKEN_WITHIN_S = 60.0


class Load:
    """What got no 202 is sent again with its key when the outage is over."""

    def __init__(self, here: Installation) -> None:
        self._client = httpx.Client(
            base_url=stack.settings(here.data).api_url,
            headers={"Authorization": f"Bearer {stack.keys(here.data).api_key}"},
            timeout=60,
            trust_env=False,
            limits=httpx.Limits(max_connections=2 * CLIENTS),
        )
        self._feeder = Feeder(here)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.answers: collections.Counter[int] = collections.Counter()
        """How many answers to submissions had which status. 0: none came. Of a question for a job or its result: what
        is a defect."""
        self.slowest_s = 0.0
        self.acked: list[str] = []
        self.fed: list[str] = []
        """Of these, what came over Kafka: the API knows them once intake has read them."""
        self.unacked: list[str] = []
        self.unfound: list[str] = []
        """Jobs that got a 202 and that the API did not know right after it."""
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guarded, args=(self._feed,), daemon=True)]
        self._threads += [
            threading.Thread(target=self._guarded, args=(partial(self._send, number / PER_S),), daemon=True)
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Every submission is acknowledged when this returns."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._feeder.close()
        if self.failures:
            raise self.failures[0]
        for key in self.unacked:
            until(partial(self._submit, key), "what got no 202 is taken now", TAKEN_WITHIN_S)
        self._client.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            self.failures.append(failure)

    def _ticks(self, first_s: float, every_s: float) -> Iterator[None]:
        """At these times, or as soon as the caller is back."""
        begun_s = time.monotonic() + first_s
        for number in itertools.count():
            if self._over.wait(max(0.0, begun_s + number * every_s - time.monotonic())):
                return
            yield

    def _send(self, first_s: float) -> None:
        for _ in self._ticks(first_s, CLIENTS / PER_S):
            key = uuid.uuid4().hex
            if not self._submit(key):
                self.unacked.append(key)

    def _feed(self) -> None:
        for _ in self._ticks(0.0, 1 / FED_PER_S):
            try:
                job = self._feeder.job("demo")
            except DeliveryUnclear:  # the broker is away: this producer has no acknowledgement, and no claim
                continue
            self.acked.append(job)
            self.fed.append(job)

    def _submit(self, key: str) -> bool:
        body = {"model": "noop", "tier": "api", "inputs": {"sleep_ms": 100, "output_bytes": 1_000}}
        begun_s = time.monotonic()
        try:
            answer = self._client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        except httpx.HTTPError:
            answer = None
        self._note(0 if answer is None else answer.status_code, time.monotonic() - begun_s)
        if answer is None:
            return False
        if answer.status_code == 503:
            assert answer.headers["Content-Type"] == "application/problem+json", answer.text
            assert "Retry-After" in answer.headers
        if answer.status_code not in (200, 202):
            return False
        job = str(answer.json()["job"])
        self.acked.append(job)
        if self._asked(f"/v1/jobs/{job}") == 404:
            self.unfound.append(job)
        self._asked(f"/v1/jobs/{self.acked[len(self.acked) // 2]}/result")
        return True

    def _asked(self, path: str) -> int:
        """The answer's status; 0 for none. 503 says nothing against a 202: the table cannot be asked."""
        begun_s = time.monotonic()
        try:
            status = self._client.get(path).status_code
        except httpx.HTTPError:
            status = 0
        if status in (0, 500):
            self._note(status, time.monotonic() - begun_s)
        return status

    def _note(self, status: int, took_s: float) -> None:
        with self._lock:
            self.answers[status] += 1
            self.slowest_s = max(self.slowest_s, took_s)
