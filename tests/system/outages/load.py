"""Jobs at a pace, whatever is answered."""

from __future__ import annotations

import collections
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import httpx

from local import stack
from runtime.kafka import DeliveryUnclear
from tests.system.installation import Installation
from tests.system.senders import Feeder
from tests.waiting import until

PER_S = 5.0
"""Jobs over HTTP, and as many over Kafka. An answer that is slow slows those over HTTP only."""
TAKEN_WITHIN_S = 60.0


class Load:
    """What got no 202 is sent again with its key when the outage is over."""

    def __init__(self, here: Installation) -> None:
        self._url = stack.settings(here.data).api_url
        self._headers = {"Authorization": f"Bearer {stack.keys(here.data).api_key}"}
        self._feeder = Feeder(here)
        self._over = threading.Event()
        self.answers: collections.Counter[int] = collections.Counter()
        """How many answers of the API had which status. 0: none came."""
        self.slowest_s = 0.0
        self.acked: list[str] = []
        self.fed: list[str] = []
        """Of these, what came over Kafka: the API knows them once intake has read them."""
        self.unacked: list[str] = []
        self.unfound: list[str] = []
        """Jobs that got a 202 and that the API did not know right after it."""
        self.failure: BaseException | None = None
        self._senders = [
            threading.Thread(target=self._send, args=(over,), daemon=True) for over in (self._by_http, self._by_kafka)
        ]

    def start(self) -> None:
        for sender in self._senders:
            sender.start()

    def _send(self, over: Callable[[], None]) -> None:
        try:
            over()
        except BaseException as failure:
            self.failure = failure

    def _by_http(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=60, trust_env=False) as client:
            while not self._over.wait(1 / PER_S):
                key = uuid.uuid4().hex
                if not self._submit(client, key):
                    self.unacked.append(key)
            for key in self.unacked:
                until(partial(self._submit, client, key), "what got no 202 is taken now", TAKEN_WITHIN_S)

    def finish(self) -> None:
        """Every submission is acknowledged when this returns."""
        self._over.set()
        for sender in self._senders:
            sender.join()
        self._feeder.close()
        if self.failure is not None:
            raise self.failure

    def _submit(self, client: httpx.Client, key: str) -> bool:
        body = {"model": "noop", "tier": "api", "inputs": {"sleep_ms": 100, "output_bytes": 1_000}}
        begun_s = time.monotonic()
        try:
            answer = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        except httpx.HTTPError:
            self.answers[0] += 1
            return False
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
        self.answers[answer.status_code] += 1
        if answer.status_code not in (200, 202):
            assert answer.headers["Content-Type"] == "application/problem+json", answer.text
            assert "Retry-After" in answer.headers
            return False
        job = str(answer.json()["job"])
        self.acked.append(job)
        self._look_for(client, job)
        return True

    def _look_for(self, client: httpx.Client, job: str) -> None:
        """503 says nothing against the 202: the table cannot be asked."""
        try:
            status = client.get(f"/v1/jobs/{job}").status_code
        except httpx.HTTPError:
            return
        if status == 404:
            self.unfound.append(job)

    def _by_kafka(self) -> None:
        while not self._over.wait(1 / PER_S):
            with suppress(DeliveryUnclear):  # the broker is away: this producer has no acknowledgement, and no claim
                job = self._feeder.job("demo")
                self.acked.append(job)
                self.fed.append(job)
